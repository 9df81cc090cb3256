#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The explorer against SPIN on the same transition systems, in one run on one core: states, transitions, speed and
# memory. Equal counts prove that the systems are the same; different ones fail.
#   bench/explorer.sh [BUILD]    (default: build; its benchmark is built if need be)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=${1:-$here/../build}
for tool in spin gcc; do
  command -v "$tool" >/dev/null || { echo "bench/explorer.sh: $tool is missing: apt-get install $tool" >&2; exit 69; }
done
[[ -f $build/CMakeCache.txt ]] || { echo "bench/explorer.sh: $build is no build folder: give one" >&2; exit 66; }
cmake --build "$build" --target explorer_bench >/dev/null
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
one_core=()
command -v taskset >/dev/null && one_core=(taskset -c 0)

# ours NAME: states transitions cpu_us peak_kib
ours() {
  "${one_core[@]}" "$build/bench/explorer_bench" --benchmark_filter="^$1/iterations:1$" --benchmark_format=json \
    2>/dev/null | awk -F'[:,]' '
    /"(states|transitions|cpu_us|peak_kib)"/ { gsub(/[" ]/, "", $1); value[$1] = $2 }
    END { printf "%d %d %d %d\n", value["states"], value["transitions"], value["cpu_us"], value["peak_kib"] }'
}

# SPIN without its optimisations of the state vector, which leave out variables that are never read; every
# statement is a step of its own. Its transitions count the initial state.
spin_counts() {
  local model=$1 slots=$2
  shift 2
  (
    cd "$work"
    spin -a -o1 -o2 -o3 "$@" "$here/spin/$model.pml" >/dev/null
    gcc -O2 -w -DSAFETY -DNOREDUCE -DMEMLIM=16384 -o pan pan.c "$here/spin/peak.c"
    "${one_core[@]}" ./pan -m1000000 -w"$slots" >pan.out
    grep -q 'errors: 0' pan.out || { echo "SPIN did not finish $model:" >&2; head -20 pan.out >&2; exit 1; }
    awk '/states, stored/ { s = $1 } /transitions \(= stored/ { t = $1 - 1 } /^cpu_us/ { c = $2 } /^peak_kib/ { m = $2 }
         END { print s, t, c, m }' pan.out
  )
}

differ=0
row() { printf '%-14s %-8s %10s %11s %9s %12s %11s %8s %7s\n' "$@"; }
rate() { awk -v n="$1" -v us="$2" 'BEGIN { printf "%.2f M", n / us }'; }
row case explorer states transitions seconds states/s trans./s MiB 'B/state'
print() {  # case explorer states transitions cpu_us peak_kib
  row "$1" "$2" "$3" "$4" "$(awk "BEGIN { printf \"%.2f\", $5 / 1e6 }")" "$(rate "$3" "$5")" "$(rate "$4" "$5")" \
    $(($6 / 1024)) $(($6 * 1024 / $3))
}

# compare CASE OURS MODEL SLOTS DEFINE...
compare() {
  local name=$1 ours_name=$2 a b
  shift 2
  a=$(ours "$ours_name")
  b=$(spin_counts "$@")
  # shellcheck disable=SC2086
  { print "$name" ours $a; print "$name" SPIN $b; }
  read -r os ot oc om <<<"$a"
  read -r ss st sc sm <<<"$b"
  awk "BEGIN { printf \"%-14s ratio: %.1f times the states per second, %.2f of the memory\\n\", \"\", \
       ($os / $oc) / ($ss / $sc), $om / $sm }"
  if [[ $os != "$ss" || $ot != "$st" ]]; then
    echo "bench/explorer.sh: $name: the counts differ, so these are not the same system" >&2
    differ=1
  fi
}

compare teardown/3,8 teardown/3/8 teardown 22 -DLOADERS=3 -DLOADS=8
compare teardown/3,9 teardown/3/9 teardown 23 -DLOADERS=3 -DLOADS=9
compare install/4 install/4 install 21 -DCPUS=4
exit "$differ"
