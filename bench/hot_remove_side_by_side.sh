#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# bench/hot_remove_side_by_side.sh [KERNEL...]: hot-remove of 1 GiB by every strategy of `boot` and by real kernels
# under `audit`, on one CPU model ($CPU, default max): a markdown table of TLBIs, DSBs, descriptor stores and
# instructions between entry and return of the teardown, and the newest kernel (the last argument) against strategy T.
set -euo pipefail
shootdown=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../run
cpu=${CPU:-max}
kernels=("$@")
((${#kernels[@]})) || kernels=(debian:6.12.43 debian:6.12.107 debian:7.2.13)

# row NAME: one object of JSON on standard input, its key "counts" or "teardown" -> a row of the table
row() {
  awk -v name="$1" -v key="$2" '
    function sum(text,   n, total) {
      while (match(text, /:[0-9]+/)) {
        total += substr(text, RSTART + 1, RLENGTH - 1)
        text = substr(text, RSTART + RLENGTH)
      }
      return total + 0
    }
    function part(text, field) { return match(text, "\"" field "\":[{]?[^}]*") ? substr(text, RSTART, RLENGTH) : "" }
    function number(text, field) {
      return match(text, "\"" field "\":[0-9]+") ? substr(text, RSTART + length(field) + 3, RLENGTH - length(field) - 3) : "-"
    }
    {
      at = index($0, "\"" key "\":{")
      if (!at) next
      text = substr($0, at + length(key) + 3)
      if (name == "") { match($0, /"strategy":"[^"]*"/); label = substr($0, RSTART + 12, RLENGTH - 13) } else label = name
      printf "| %s | %d | %d | %s | %s |\n", label, sum(part(text, "tlbi")), sum(part(text, "dsb")),
             number(text, "descriptor_stores"), number(text, "instructions")
    }'
}

echo "| | TLBI | DSB | descriptor stores | instructions |"
echo "|---|---|---|---|---|"
"$shootdown" boot hot-remove --strategy all --cpu "$cpu" --format json | row "" counts || true
for kernel in "${kernels[@]}"; do
  "$shootdown" audit --kernel "$kernel" --cpu "$cpu" --format json | row "$kernel" teardown
done
