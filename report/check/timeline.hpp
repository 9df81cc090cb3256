// SPDX-License-Identifier: MIT
// A counterexample in text: the timeline, what the shadow still holds, and the splat.
#pragma once

#include <ostream>

#include "report/check/story.hpp"
#include "report/check/style.hpp"

namespace shootdown::report {

struct TimelineOptions {
  Style style;
  bool all = false;  ///< show what was only looked at, and every step of a long story
};

/// Steps as lines: step number, CPU, function, what happened; below it what that did to stale entries.
void write_timeline(std::ostream& out, const Story& story, const TimelineOptions& options);

/// The finding in the shape of a KASAN report: title, both sides, cause, call trace, page owner, replay token.
void write_splat(std::ostream& out, const scenario::CheckResult& result, const Story& story,
                 const Style& style);

/// "BUG: Shootdown: stale-page in try_remove_memory".
std::string splat_title(const scenario::CheckResult& result, const Story& story);

/// Both, with a heading that names the combination.
void write_counterexample(std::ostream& out, const scenario::CheckResult& result,
                          const TimelineOptions& options);

}  // namespace shootdown::report
