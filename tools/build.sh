# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by ./run and ./test: configures and builds one preset. Quiet when it goes well: progress is one line on
# a terminal, and the log is shown only if the build fails. Needs `say` of tools/setup.sh.

# build_preset ROOT PRESET DIR TARGETS [CMAKE ARGS...]: brings DIR up to date.
build_preset() {
  local root=$1 preset=$2 dir=$3 targets=$4 log=$3/build.log
  shift 4
  mkdir -p "$dir"
  build_forget_moved "$root" "$dir"
  if [[ ! -e $dir/build.ninja || $# -gt 0 || ${setup_installed:-0} == 1 ]]; then
    (cd "$root" && cmake --preset "$preset" -B "$dir" "$@") >"$log" 2>&1 || build_fail "$log" "cmake could not configure"
  fi
  [[ -e $dir/built ]] || say "building the preset '$preset' for the first time, this takes minutes"
  # shellcheck disable=SC2086  # several targets in one word
  ninja -C "$dir" $targets </dev/null 2>&1 | build_progress "$log" || build_fail "$log" "the build failed"
  : >"$dir/built"
}

# Copies ninja's output to the log; on a terminal the latest step is shown on a line that overwrites itself.
build_progress() {
  awk -v to="$1" -v tty="$([[ -t 2 ]] && echo 1 || echo 0)" '
    {print >to}
    tty && /^\[[0-9]+\/[0-9]+\] / {printf "\r\033[K%.78s", $0 >"/dev/stderr"; shown = 1}
    END {if (shown) printf "\r\033[K" >"/dev/stderr"}'
}

build_fail() {
  tail -n 60 "$1" >&2
  say "$2 (the whole log: $1)"
  exit 70
}

# A build folder belongs to the place that it was made for; in a checkout that was moved or copied it starts again.
build_forget_moved() {
  local root=$1 dir=$2 home
  [[ -e $dir/CMakeCache.txt ]] || return 0
  home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$dir/CMakeCache.txt")
  [[ $home == "$root" ]] || rm -rf "$dir/CMakeCache.txt" "$dir/CMakeFiles" "$dir/build.ninja" "$dir/built"
}

# One set-up or build at a time in a checkout; the others wait. Everything after it is run with descriptor 9 closed.
build_lock() {
  if ! mkdir -p "$1" 2>/dev/null || ! : >>"$1/lock" 2>/dev/null; then
    say "cannot write to $1: build in a checkout of your own"
    exit 69
  fi
  exec 9>"$1/lock"
  flock -n 9 && return 0
  say "waiting for another set-up or build in this checkout"
  flock 9
}
build_unlock() { exec 9>&-; }
