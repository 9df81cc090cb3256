#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Strategy: a small tree that is in order passes; then each rule is broken in a copy of it, one at a time, and the
# check must refuse the copy with exactly that finding, at that line.
set -euo pipefail
tidy=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/tidy.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

good_tree() {
  rm -rf "$scratch/tree"
  mkdir -p "$scratch/tree/vmsa" "$scratch/tree/mm" "$scratch/tree/cli" "$scratch/tree/docs"
  cd "$scratch/tree"
  printf '%s\n' '// SPDX-License-Identifier: MIT' '// What lives here.' '#pragma once' '#include <cstdint>' >vmsa/a.hpp
  printf '%s\n' '// SPDX-License-Identifier: MIT' '// What lives here.' '#include "vmsa/a.hpp"' >cli/a.cpp
  printf '%s\n' '# SPDX-License-Identifier: MIT' 'true' >docs/a.sh
  printf '%s\n' 'See https://lwn.net/Articles/1/ and management, obsession, XXXL.' >docs/a.md
}

# refuses FILE LINE TEXT WORDS: after TEXT was added to FILE (`-`: the file is replaced), the finding is at LINE.
refuses() {
  local file=$1 line=$2 words=$3 out
  if out=$(bash "$tidy" .); then
    echo "not refused: $words"
    failures=$((failures + 1))
  elif [[ $out != "$file:$line: "*"$words"* || $out == *$'\n'* ]]; then
    printf 'wanted %s:%s %s, got\n%s\n' "$file" "$line" "$words" "$out"
    failures=$((failures + 1))
  fi
  good_tree
}

good_tree
bash "$tidy" . || { echo "the tree in order was refused"; exit 1; }

sed -i 1d docs/a.sh && refuses docs/a.sh 1 'no line SPDX'
sed -i '/pragma/d' vmsa/a.hpp && refuses vmsa/a.hpp 1 'header without #pragma once'
sed -i 2d vmsa/a.hpp && refuses vmsa/a.hpp 1 'no opening comment'
printf '//%.0s\n' {1..498} >>cli/a.cpp && refuses cli/a.cpp 501 '501 lines'
echo '#include <string>' >>vmsa/a.hpp && refuses vmsa/a.hpp 5 'vmsa is freestanding: no <string>'
echo '#include "cli/none.hpp"' >>cli/a.cpp && refuses cli/a.cpp 4 'is no file of the tree'
sed 's/A/B/' vmsa/a.hpp >mm/b.hpp
echo '#include "mm/b.hpp"' >>vmsa/a.hpp && refuses vmsa/a.hpp 5 'vmsa knows nobody'
sed 's/lives/is/' vmsa/a.hpp >cli/b.hpp
{ cat vmsa/a.hpp; echo '#include "cli/b.hpp"'; } >docs/b.hpp && refuses docs/b.hpp 5 'only cli knows cli'
echo 'x ' >>docs/a.sh && refuses docs/a.sh 3 'white space'
printf '\tint x;\n' >>cli/a.cpp && refuses cli/a.cpp 4 'a tab'
echo "http:/""/example.net/x" >>docs/a.md && refuses docs/a.md 2 'host example.net is not among'
echo "from deb.example""1.org" >>docs/a.md && refuses docs/a.md 2 'a host that packages come from'
for dir in wor"k" roo"t" hom"e"/jo; do
  echo "in /$dir/x" >>docs/a.md && refuses docs/a.md 2 "a path of somebody's machine"
done
for marker in TO"DO" FIX"ME" XX"X"; do
  echo "// $marker: later" >>cli/a.cpp && refuses cli/a.cpp 4 'a marker of unfinished work'
done
for word in 'coding ag''ent' 'previous sess''ion' Assis"tant"; do
  echo "an $word did it" >>docs/a.md && refuses docs/a.md 2 'a word that has no business'
done
head -c 1048577 /dev/zero >docs/blob && refuses docs/blob 1 'nothing above 1 MiB'

echo "TO""DO tidy:allow" >>docs/a.md
bash "$tidy" . || { echo "tidy:allow was not let through"; failures=$((failures + 1)); }
exit "$((failures > 0))"
