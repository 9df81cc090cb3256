// SPDX-License-Identifier: MIT
// Running a plan of checks: for the `check` command and for the main job.
#pragma once

#include "cli/check_options.hpp"
#include "cli/session.hpp"
#include "report/check/writer.hpp"

namespace shootdown::cli {

void run_check(const CheckOptions& options, Session& session);

/// Explores every combination of the plan, `jobs` at a time (0: one for each core), and returns the exit code.
int run_checks(const report::CheckPlan& plan, unsigned jobs, report::CheckWriter& writer, Session& session);

unsigned worker_count(unsigned jobs);

}  // namespace shootdown::cli
