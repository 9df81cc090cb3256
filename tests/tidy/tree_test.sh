#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# This tree keeps its own rules.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
exec bash "$here/tidy.sh" "$here/../.."
