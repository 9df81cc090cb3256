# SPDX-License-Identifier: MIT
# The rules of style that a machine can judge, one function a rule. Input: the files of the tree, paths relative to
# its root; output: a line `path:line: what is wrong` for each finding. Plain POSIX awk, as a bare machine has it.
# A line that says `tidy:allow` is let through: for the rare place that has to name what is refused elsewhere.

BEGIN {
  # Brackets keep the patterns from finding themselves.
  marker = "(T[O]DO|FIX[M]E|X[X]X)"
  word = "((ai|coding|helper|software)[ -][a]gents?|[a]ssistants?|[c]hatbots?|[l]anguage models?|" \
         "(this|an?|earlier|previous|last|next|later|another) [s]essions?)"
  machine_path = "(/wor[k]/|/roo[t]/|/hom[e]/[a-z])"
  package_host = "(deb|ftp|security|snapshot|archive|registry|mirror|mirrors|proxy)[a-z0-9-]*[.][a-z0-9-]+[.]" \
                 "(org|com|net|io|dev|internal|local)"
  # Where documents may point; a host that serves packages is never one of them.
  split("developer.arm.com documentation-service.arm.com lore.kernel.org git.kernel.org www.kernel.org " \
        "docs.kernel.org lwn.net github.com spdx.org www.w3.org ui.perfetto.dev perfetto.dev www.qemu.org " \
        "qemu-project.gitlab.io gitlab.com spinroot.com diy.inria.fr testanything.org ndjson.org", hosts, " ")
  for (i in hosts) host_allowed[hosts[i]] = 1
  split("cstdint cstddef bit limits type_traits compare concepts array utility source_location initializer_list optional span", std, " ")
  for (i in std) freestanding[std[i]] = 1
}

function finding(line, text) {
  printf "%s:%d: %s\n", FILENAME, line, text
  findings++
}

# `pattern` as a word of its own in `text`.
function has_word(text, pattern) { return text ~ ("(^|[^A-Za-z0-9_])" pattern "([^A-Za-z0-9_]|$)") }

function end_file() {
  if (path == "") return
  FILENAME_saved = FILENAME; FILENAME = path
  if (is_source && !spdx) finding(1, "no line SPDX-License-Identifier: MIT among the first three")
  if (is_header && !pragma) finding(1, "header without #pragma once")
  if (is_header && !opening) finding(1, "no opening comment: what lives here, and what must not")
  if (is_source && lines > 500) finding(lines, lines " lines: a file of one idea has at most 500")
  FILENAME = FILENAME_saved
}

function start_file() {
  path = FILENAME
  sub(/^\.\//, "", path)
  FILENAME = path
  is_header = path ~ /\.hpp$/
  is_cxx = path ~ /\.(cpp|hpp|S)$/
  is_source = is_cxx || path ~ /\.(c|h|sh|cmake|py|toml|ld|js|awk)$/ || path ~ /(^|\/)(CMakeLists\.txt|run|test)$/
  is_text = path != "LICENSE"
  if (path ~ /^tests\/fuzz\/corpus\//) is_header = is_cxx = is_source = 0  # input for a program, good or bad
  spdx = pragma = opening = 0
  folder = path
  sub(/\/.*/, "", folder)
}

# Dependencies point downward only: cli -> scenario -> mm -> vmsa, and vmsa and mm are freestanding.
function check_include(   target, from) {
  target = $0
  if (target ~ /^[ \t]*#[ \t]*include[ \t]*"/) {
    sub(/^[^"]*"/, "", target); sub(/".*/, "", target)
    if (!(target in known)) finding(FNR, "#include \"" target "\" is no file of the tree (paths start at its root)")
    from = target
    sub(/\/.*/, "", from)
    if (folder == "vmsa" && from != "vmsa") finding(FNR, "vmsa knows nobody, " target " least of all")
    if (folder == "mm" && target !~ /^(mm|vmsa)\// && target !~ /^machine\/[a-z_]+\.hpp$/)
      finding(FNR, "mm may include vmsa/, mm/ and the Machine concept, not " target)
    # The one type of counts that all machines fill in is plain data.
    if (target == "report/counts.hpp") return
    if ((folder == "machine" || folder == "shadow") && from ~ /^(scenario|report|cli|audit)$/)
      finding(FNR, folder " knows nothing of " from ": " target)
    if (folder == "explore" && from ~ /^(scenario|report|cli|audit)$/) finding(FNR, "explore knows nothing of " target)
    if (from == "cli" && folder != "cli" && folder != "tests") finding(FNR, "only cli knows cli: " target)
    if (from == "tests" && folder != "tests" && folder != "bench") finding(FNR, "only tests know tests: " target)
  } else if ((folder == "vmsa" || folder == "mm") && target ~ /^[ \t]*#[ \t]*include[ \t]*</) {
    sub(/^[^<]*</, "", target); sub(/>.*/, "", target)
    if (!(target in freestanding)) finding(FNR, folder " is freestanding: no <" target ">")
  }
}

function check_hosts(   rest, host) {
  if (tolower($0) ~ package_host) finding(FNR, "names a host that packages come from; apt's own configuration knows it")
  rest = $0
  while (match(rest, /https?:\/\/[A-Za-z0-9.-]+/)) {
    host = substr(rest, RSTART, RLENGTH)
    rest = substr(rest, RSTART + RLENGTH)
    sub(/^https?:\/\//, "", host)
    if (!(host in host_allowed)) finding(FNR, "host " host " is not among those that documents may point to")
  }
}

FILENAME == "-" { known[$0] = 1; next }
FNR == 1 { end_file(); start_file() }
{ lines = FNR }
FNR <= 3 && /SPDX-License-Identifier: MIT/ { spdx = 1 }
FNR <= 4 && is_cxx && /^(\/\/|#) / && !/SPDX/ { opening = 1 }
FNR <= 15 && /^#pragma once$/ { pragma = 1 }
/tidy:allow/ { next }
is_cxx && /^[ \t]*#[ \t]*include/ { check_include() }
is_source && /[ \t]$/ { finding(FNR, "white space at the end of the line") }
is_cxx && path !~ /\.S$/ && /\t/ { finding(FNR, "a tab") }
is_text { check_hosts() }
is_text && $0 ~ machine_path { finding(FNR, "a path of somebody's machine") }
is_text && has_word($0, marker) { finding(FNR, "a marker of unfinished work: do it, or open an issue") }
is_text && has_word(tolower($0), word) { finding(FNR, "a word that has no business in this tree") }
END {
  end_file()
  exit findings > 0
}
