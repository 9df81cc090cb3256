#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every mutant of the checker is noticed by the test that it names, or is equivalent for the reason that it gives.
exec bash "$(dirname "$0")/run.sh" --all
