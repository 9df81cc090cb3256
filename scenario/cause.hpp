// SPDX-License-Identifier: MIT
// Why a stale entry was still there: the cause that explains a harm, read off the path that led to it.
#pragma once

#include "explore/search.hpp"
#include "shadow/harm.hpp"

namespace shootdown::scenario {

/// The cause of a violation at the end of `timeline`, which started at `from`. Only harms that a stale entry
/// makes possible have one; for a software walker's it is the missing grace period.
shadow::Cause explain(model::System& system, const model::Violation& violation,
                      const std::vector<explore::TimelineStep>& timeline);

}  // namespace shootdown::scenario
