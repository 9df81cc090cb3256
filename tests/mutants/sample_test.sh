#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A fixed sample of the mutants of the checker: the tests notice each. All of them: all_long_test.sh.
exec bash "$(dirname "$0")/run.sh" --sample
