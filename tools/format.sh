#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tools/format.sh [--check] [FILE...]: formats the C++ files (all of them by default), or with --check only names those
# that are not formatted. clang-format 14, as other versions disagree with it.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
mode=-i
if [[ ${1:-} == --check ]]; then
  mode=--dry-run
  shift
fi
tool=$(command -v clang-format-14 || command -v clang-format) || {
  echo "format: needs clang-format 14 (package clang-format-14)" >&2
  exit 69
}
if (($# == 0)); then
  mapfile -t files < <(git ls-files --cached --others --exclude-standard -- '*.cpp' '*.hpp')
  set -- "${files[@]}"
fi
exec "$tool" $mode -Werror --style=file "$@"
