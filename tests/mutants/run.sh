#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tests/mutants/run.sh [--sample | --all | --record] [NAME PREFIX...]: plants the mutants of mutants.txt in the checker, one
# at a time, and demands that the tests notice. The source tree is not touched: a changed file lies in a folder that is
# searched first, the translation units that need it are compiled again and linked before the libraries of the build.
#   --sample   those that are marked `sample`
#   --record   every suite in turn until one fails, and its first failing test is printed
# A mutant that no test kills, that does not compile, or whose text is no longer in its file, fails the run.
set -euo pipefail

source_dir=${SHOOTDOWN_SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${SHOOTDOWN_BUILD:-$source_dir/build}
list=$source_dir/tests/mutants/mutants.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mode=all
case ${1:-} in
  --sample | --all | --record) mode=${1#--}; shift ;;
esac
prefixes=("$@")
suites=(vmsa shadow model explore negative reference)
compiler=(g++ -std=c++20 -O1 -w)
command -v ccache >/dev/null && compiler=(ccache "${compiler[@]}")

# The suite's own objects, as the build has them.
objects_of() { find "$build/CMakeFiles/test_$1.dir" -name '*.o' | sort; }

# Writes $2 with the one line of it that contains $3 changed to $4, to $1. Exit code 1: there is not exactly one.
plant() {
  OLD=$3 NEW=$4 awk '
    BEGIN { old = ENVIRON["OLD"]; new = ENVIRON["NEW"] }
    (at = index($0, old)) && !index(substr($0, at + 1), old) {
      ++found
      $0 = substr($0, 1, at - 1) new substr($0, at + length(old))
    }
    { print }
    END { exit found == 1 ? 0 : 1 }' "$2" >"$1"
}

# link_and_run SUITE FILTER OBJECTS...: exit code 0 when a test failed.
noticed_by() {
  local suite=$1 filter=$2 program=$dir/test
  shift 2
  mapfile -t tests < <(objects_of "$suite")
  [[ ${#tests[@]} -gt 0 ]] || { echo "mutants: the build has no test_$suite: ./test first" >&2; exit 66; }
  # A test that sees a changed header must be compiled with it.
  local object
  for unit in "${units[@]}"; do
    [[ $unit == tests/* ]] || continue
    object=$build/CMakeFiles/test_$suite.dir/$unit.o
    mapfile -t tests < <(printf '%s\n' "${tests[@]}" | grep -vxF "$object")
  done
  g++ -o "$program" "$@" "${tests[@]}" -Wl,--start-group "$build"/lib*.a -Wl,--end-group -lgtest_main -lgmock -lgtest \
    -lrapidcheck -lfmt -ltomlplusplus -lzstd -lpthread 2>"$dir/link.log" || { cat "$dir/link.log" >&2; exit 70; }
  # A mutant that hangs or that stops the program is noticed, too.
  ! timeout 300 "$program" --gtest_brief=1 --gtest_fail_fast --gtest_filter="$filter" >"$dir/test.log" 2>&1
}

try() {
  local name=$1 file=$2 old=$3 new=$4 killer=$5 suite
  dir=$work/$name
  mkdir -p "$dir/changed/$(dirname "$file")"
  plant "$dir/changed/$file" "$source_dir/$file" "$old" "$new" || { echo "$name: its text is not (once) in $file"; return 1; }
  local objects=() unit object
  for unit in "${units[@]}"; do
    local path=$source_dir/$unit
    [[ $unit == "$file" ]] && path=$dir/changed/$unit
    object=$dir/$(tr / _ <<<"$unit").o
    "${compiler[@]}" -I "$dir/changed" -I "$source_dir" -DSHOOTDOWN_SOURCE_DIR="\"$source_dir\"" \
      -DSHOOTDOWN_BINARY_DIR="\"$build\"" -c "$path" -o "$object" 2>"$dir/compile.log" ||
      { echo "$name: does not compile"; sed 's/^/  /' "$dir/compile.log" | head -n 5; return 1; }
    objects+=("$object")
  done
  if [[ $mode == record || -z $killer ]]; then
    for suite in "${suites[@]}"; do
      noticed_by "$suite" '*' "${objects[@]}" || continue
      echo "$name: killed by $suite $(sed -n 's/^\[  FAILED  \] \([A-Za-z0-9_.\/]*\).*/\1/p' "$dir/test.log" | head -n 1)"
      rm -rf "$dir"
      return 0
    done
    echo "$name: SURVIVES"
    rm -rf "$dir"
    return 1
  fi
  if noticed_by "${killer%% *}" "${killer#* }" "${objects[@]}"; then
    rm -rf "$dir"
    return 0
  fi
  echo "$name: SURVIVES $killer"
  rm -rf "$dir"
  return 1
}

# Reads mutants.txt; calls try for what is asked for.
tried=0 survived=0 equivalent=0
finish() {
  [[ -n ${name:-} ]] || return 0
  local wanted=1 p
  [[ $mode == sample && $sample == 0 ]] && wanted=0
  if ((${#prefixes[@]})); then
    wanted=0
    for p in "${prefixes[@]}"; do [[ $name == "$p"* ]] && wanted=1; done
  fi
  ((wanted)) || return 0
  if [[ -n $reason ]]; then
    equivalent=$((equivalent + 1))
    return 0
  fi
  [[ $file == *.cpp && ! " ${units[*]} " == *" $file "* ]] && units+=("$file")
  tried=$((tried + 1))
  try "$name" "$file" "$old" "$new" "$killer" || survived=$((survived + 1))
}
name='' units=()
while IFS= read -r line || [[ -n $line ]]; do
  case $line in
    '#'* | '') ;;
    '== '*)
      finish
      name=${line#== } file='' old='' new='' killer='' reason='' sample=0 units=() ;;
    'file: '*) file=${line#file: } ;;
    '- '*) old=${line#- } ;;
    '+ '*) new=${line#+ } ;;
    '+') new='' ;;
    'with: '*) read -ra units <<<"${line#with: }" ;;
    'killed by: '*) killer=${line#killed by: } ;;
    'equivalent: '*) reason=${line#equivalent: } ;;
    sample) sample=1 ;;
    *) echo "mutants.txt: $name: not understood: $line" >&2; exit 65 ;;
  esac
done <"$list"
finish
echo "$tried mutants of the checker tried, $((tried - survived)) killed, $survived alive; $equivalent are equivalent, each with its reason"
((survived == 0))
