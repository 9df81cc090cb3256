#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Strategy: each thing that can be wrong with what `audit` is given, or go wrong under it, is done to it for real: one
# clear line, the documented exit code, and no QEMU left behind. Old and new QEMUs are scripts that only tell a version.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# By its full name: which is the newest, apt takes seconds to say each time.
kernel=$("$SHOOTDOWN" list kernels --format json | grep -o 'debian:6\.12\.[0-9]*"' | tail -n 1 | tr -d '"')
failures=0

fail() {
  echo "FAILED: $*"
  sed 's/^/  | /' "$scratch/out" "$scratch/err"
  failures=$((failures + 1))
}

# expect CODE TEXT -- ARGS: `audit ARGS` exits with CODE, and its first line of complaint holds TEXT.
expect() {
  local code=$1 text=$2 got=0
  shift 3
  "$SHOOTDOWN" audit "$@" >"$scratch/out" 2>"$scratch/err" || got=$?
  [[ $got == "$code" ]] || fail "audit $*: exit code $got, not $code"
  grep -v downloading "$scratch/err" | head -n 1 | grep -q -- "$text" || fail "audit $*: the line does not say '$text'"
}

# expect_of PID CODE TEXT: the same of one in the background, whose QEMU must be gone.
expect_of() {
  local got=0
  wait "$1" || got=$?
  [[ $got == "$2" ]] || fail "exit code $got, not $2"
  grep -q -- "$3" "$scratch/err" || fail "no line says '$3'"
  ! kill -0 "$qemu" 2>/dev/null || fail "QEMU $qemu is left behind"
}

# start ARGS: `audit ARGS` in the background; sets audit and qemu to its process and its child's, which is booting.
start() {
  "$SHOOTDOWN" audit "$@" >"$scratch/out" 2>"$scratch/err" &
  audit=$!
  qemu=
  until [[ -n $qemu ]] || ! kill -0 "$audit" 2>/dev/null; do
    sleep 0.2
    for child in $(cat "/proc/$audit/task/$audit/children" 2>/dev/null || true); do
      # Not the one that is only asked for its version.
      ! { tr '\0' ' ' <"/proc/$child/cmdline"; } 2>/dev/null | grep -q -- " -kernel " || qemu=$child
    done
  done
  sleep 1
}

fake_qemu() {
  mkdir -p "$scratch/bin"
  printf '#!/bin/sh\necho "QEMU emulator version %s"\n' "$1" >"$scratch/bin/qemu-system-aarch64"
  chmod +x "$scratch/bin/qemu-system-aarch64"
}

echo "no kernel" >"$scratch/text"
expect 65 "$scratch/text" -- --kernel "$scratch/text"
expect 66 "$scratch/missing" -- --kernel "$scratch/missing"
expect 65 "$scratch/text" -- -i "$scratch/text"
expect 66 "$scratch/missing" -- -i "$scratch/missing"

PATH="$scratch/bin:$PATH"
fake_qemu 7.2.0
expect 69 "QEMU 7.2 is too old" -- --kernel "$kernel"
fake_qemu 11.0.0
expect 69 "QEMU 11.0 is too new" -- --kernel "$kernel"
rm "$scratch/bin/qemu-system-aarch64"

printf 'ffff800080000000 T _text\nffff800080000100 T vectors\nffff800080000200 T pgd_free\n' >"$scratch/map"
expect 65 "$scratch/map is of another kernel" -- --kernel "$kernel" --system-map "$scratch/map"
expect 75 "within 1 s" -- --kernel "$kernel" --timeout 1
mkdir "$scratch/empty"
expect 75 "cannot run in this kernel" -- --kernel "$kernel" --modules "$scratch/empty" --memory 128M --cpus 1
printf '#!/bin/sh\necho 1 >/proc/sys/kernel/sysrq\necho c >/proc/sysrq-trigger\n' >"$scratch/panic.sh"
expect 75 "the guest panicked" -- --kernel "$kernel" --workload "$scratch/panic.sh" --cpus 1
grep -q '^  | .*Kernel panic' "$scratch/err" || fail "the console's last lines are not shown"

start --kernel "$kernel" --workload munmap
kill -INT "$audit"
expect_of "$audit" 130 interrupted
grep -q "^incomplete: interrupted" "$scratch/out" || fail "what was found so far is not printed"
start --kernel "$kernel" --workload munmap
kill -KILL "$qemu"
expect_of "$audit" 75 "QEMU was killed by signal 9"

printf '#!/bin/sh\n' >"$scratch/nothing.sh"
"$SHOOTDOWN" audit --kernel "$kernel" --workload "$scratch/nothing.sh" --cpus 1 -o "$scratch/trace" >"$scratch/out" 2>"$scratch/err" ||
  fail "a sound kernel"
for function in tlb_flush no_such_function; do
  got=0
  "$SHOOTDOWN" audit -i "$scratch/trace" --require "$function" >"$scratch/out" 2>"$scratch/err" || got=$?
  [[ $function == tlb_flush ]] && wanted=0 || wanted=3
  [[ $got == "$wanted" ]] || fail "--require $function: exit code $got, not $wanted"
done
grep -q "^required, and not reached: no_such_function" "$scratch/out" || fail "it is not named"
grep -q "^maintenance functions reached: [1-9][0-9]* of [1-9]" "$scratch/out" || fail "nothing was reached"
head -c 100000 "$scratch/trace" >"$scratch/half"
expect 65 "$scratch/half" -- -i "$scratch/half"
exit $((failures > 0))
