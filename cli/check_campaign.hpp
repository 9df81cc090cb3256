// SPDX-License-Identifier: MIT
// `check --mutants`: from every safe combination of a plan, each single weakening, refuted or shown redundant.
#pragma once

#include "cli/check_options.hpp"
#include "cli/session.hpp"

namespace shootdown::cli {

/// Exit code 0 when every mutant is refuted or its redundancy explained, 1 when one survived without a reason,
/// 4 when a bound kept one undecided.
void run_campaign(const report::CheckPlan& plan, const CheckOptions& options, Session& session);

}  // namespace shootdown::cli
