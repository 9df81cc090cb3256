#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Strategy: tools/setup.sh is sourced and the commands that would touch the machine are replaced by functions that
# shellcheck disable=SC1091,SC2317  # the functions are called by what is sourced
# write down what they were asked for; each case is a state of a machine and the calls and words it must lead to.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../tools/setup.sh"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

# The machine: what is installed, what apt offers, whether backports can be reached, whether we may be root.
dpkg-query() { printf '%s\n' "${on_machine[@]}"; }
setup_apt() {
  echo "$*" >>"$scratch/calls"
  case $* in
    *no-install-recommends*-t*-backports*) on_machine+=("qemu-system-arm installed 1:10.0.2+ds-2~bpo12+1") ;;
    *sourcelist*) ((backports_reachable)) ;;
  esac
}
apt-cache() { echo "  Candidate: ${offered[$3]:-(none)}"; }
apt-get() {
  case $* in
    *SOURCESENTRY*) echo "$source_entry" ;;
    *) echo bookworm ;;
  esac
}
setup_release() { echo bookworm; }
setup_become_root() {
  setup_sudo=()
  ((may_be_root))
}

machine() {
  on_machine=() may_be_root=1 backports_reachable=1
  declare -gA offered=([qemu-system-arm]="1:7.2+dfsg-7+deb12u18")
  local need
  for need in "${setup_run_packages[@]}"; do
    offered[${need%%|*}]=${offered[${need%%|*}]:-1.0}
    on_machine+=("${need%%|*} installed 1.0")
  done
  on_machine=("${on_machine[@]/qemu-system-arm installed 1.0/qemu-system-arm installed 1:10.0.2}")
  rm -rf "${scratch:?}"/*
  mkdir "$scratch/state" "$scratch/sources"
  setup_sources_dir=$scratch/sources
  : >"$scratch/calls"
  printf '%s\n' '# of the machine' 'deb [signed-by=/k.gpg] http:/''/a.test/debian bookworm main contrib' >"$scratch/apt.list"
  source_entry=$scratch/apt.list:2
}
without() {
  local i
  for i in "${!on_machine[@]}"; do [[ ${on_machine[i]} == "$1 "* ]] && unset "on_machine[$i]"; done
  on_machine=("${on_machine[@]}")
}
set_up() {
  status=0
  (setup_packages "$scratch/state" run; echo "$setup_installed" >"$scratch/installed") 2>"$scratch/said" || status=$?
}
check() {
  "${@:2}" && return 0
  echo "FAILED: $1"
  head "$scratch/said" "$scratch/calls"
  failures=$((failures + 1))
}
said() { grep -qF -- "$1" "$scratch/said"; }
called() { grep -qF -- "$1" "$scratch/calls"; }
silent() { [[ ! -s $scratch/said && ! -s $scratch/calls && $status == 0 ]]; }

machine; set_up
check "everything there: no word and no call" silent

machine; without ninja-build; without libboost1.81-dev; set_up
check "what is missing is installed in one call" called 'install --no-install-recommends ninja-build libboost1.81-dev'
check "and the build is told" grep -q 1 "$scratch/installed"

machine; without libboost1.81-dev; offered[libboost1.81-dev]=; offered[libboost-dev]=1.83; set_up
check "the name of another release" called 'install --no-install-recommends libboost-dev'
on_machine+=("libboost-dev installed 1.83"); : >"$scratch/calls"; set_up
check "which then counts as there" silent

machine; without ninja-build; offered[ninja-build]=; set_up
check "a package that apt does not know: exit code 69" test "$status" = 69
check "and it is named" said 'no package ninja-build'

machine; without ninja-build; may_be_root=0; set_up
check "nobody may install: exit code 69" test "$status" = 69
check "one line" test "$(wc -l <"$scratch/said")" = 1
check "that names the package" said 'root or sudo is needed to install: ninja-build'

old_qemu=("qemu-system-arm installed 1:7.2+dfsg-7+deb12u18")
machine; without qemu-system-arm; on_machine+=("${old_qemu[@]}"); set_up
check "an old QEMU is replaced from backports" called '-t bookworm-backports qemu-system-arm'
check "by the machine's own mirror and key" grep -qx \
  'deb \[signed-by=/k.gpg\] http:/''/a.test/debian bookworm-backports main' "$scratch/sources/shootdown-backports.list"

machine; without qemu-system-arm; set_up
check "no QEMU at all is taken from backports too" called '-t bookworm-backports qemu-system-arm'

machine; without qemu-system-arm; offered[qemu-system-arm]=1:10.0.2+ds-2; set_up
check "a release whose own QEMU is new enough" called 'install --no-install-recommends qemu-system-arm'
check "needs no backports" test ! -e "$scratch/sources/shootdown-backports.list"

machine; without qemu-system-arm; on_machine+=("${old_qemu[@]}"); backports_reachable=0; set_up
check "no backports: it goes on" test "$status" = 0
check "and says so" said 'has no newer QEMU within reach'
check "no source that cannot be read stays behind" test -z "$(ls "$scratch/sources")"
: >"$scratch/calls"; set_up
check "and it is not tried each time" silent

machine; without qemu-system-arm; backports_reachable=0; set_up
check "no backports and no QEMU: the release's own" called 'install --no-install-recommends qemu-system-arm'

machine; without qemu-system-arm; on_machine+=("${old_qemu[@]}"); may_be_root=0; set_up
check "an old QEMU and no root: it goes on" test "$status" = 0
check "with one line" test "$(wc -l <"$scratch/said")" = 1

machine; without qemu-system-arm
cat >"$scratch/apt.sources" <<'S'
Types: deb
URIs: http:/a
Suites: other

Types: deb deb-src
# a comment
URIs: http:/a.test/debian
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP
 .
 key
S
source_entry=$scratch/apt.sources:2; set_up
cat >"$scratch/wanted" <<'S'
# Added by shootdown's set-up for a newer QEMU; may be removed.
Types: deb
URIs: http:/a.test/debian
Suites: bookworm-backports
Components: main
Signed-By:
 -----BEGIN PGP
 .
 key
S
check "a paragraph with its key, but for the suite" diff "$scratch/wanted" "$scratch/sources/shootdown-backports.sources"

exit "$((failures > 0))"
