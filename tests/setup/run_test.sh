#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Strategy: with everything built, ./run must be the command and nothing else: the same output, the same exit code, not
# a word on standard error, from any folder, several at once. Two stand-ins for ninja show what it does when a build
# fails and when somebody else builds.
set -euo pipefail
# Only where the build folder is the one that ./run keeps; a build of one's own elsewhere says nothing about it.
[[ $(readlink -f "$SHOOTDOWN_BUILD") == "$(readlink -f "$SHOOTDOWN_SOURCE")/build" ]] || exit 77
run=$SHOOTDOWN_SOURCE/run
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
fail() {
  echo "FAILED: $1"
  head -v out* err* 2>/dev/null
  exit 1
}

"$SHOOTDOWN" list >wanted
for i in 1 2 3 4; do
  "$run" list >"out$i" 2>"err$i" &
done
wait
for i in 1 2 3 4; do
  cmp -s wanted "out$i" || fail "the output of run $i is not the command's own"
  sed -i '/waiting for another set-up or build/d' "err$i"
  [[ ! -s err$i ]] || fail "run $i spoke on standard error"
done

status=0
"$run" no-such-command >out 2>err || status=$?
[[ $status == 64 ]] || fail "a usage error gave exit code $status"

mkdir bin
printf '%s\n' '#!/bin/sh' 'echo "[1/2] compiling"; echo "a.cpp:1: error: no such thing"; exit 1' >bin/ninja
chmod +x bin/ninja
status=0
PATH=$scratch/bin:$PATH "$run" list >out 2>err || status=$?
[[ $status == 70 ]] || fail "a broken build gave exit code $status"
[[ ! -s out ]] || fail "a broken build wrote to standard output"
grep -q 'a.cpp:1: error: no such thing' err || fail "a broken build did not say why"
