#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tidy.sh ROOT: holds the tree at ROOT against the rules of tidy.awk. Exit code 0: nothing found.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
cd "$1"

# The files that are or would be committed; outside a git checkout whatever is not a build folder.
list() {
  if [[ $(git rev-parse --show-toplevel 2>/dev/null) == "$PWD" ]]; then
    git ls-files -z --cached --others --exclude-standard
  else
    find . -path './build*' -prune -o -path ./.git -prune -o -type f -printf '%P\0'
  fi
}

failed=0
files=()
while IFS= read -r -d '' file; do
  [[ -f $file && ! -L $file ]] || continue  # deleted, but not yet committed
  size=$(stat -c %s -- "$file")
  if ((size > 1048576)); then
    printf '%s:1: %d bytes: nothing above 1 MiB belongs in the tree\n' "$file" "$size"
    failed=1
  elif ((size > 0)) && LC_ALL=C grep -Iq . -- "$file"; then
    files+=("./$file")
  fi
done < <(list)

printf '%s\n' "${files[@]#./}" | LC_ALL=C awk -f "$here/tidy.awk" - "${files[@]}" || failed=1
exit "$failed"
