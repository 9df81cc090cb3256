// SPDX-License-Identifier: MIT
// Doing the jobs of a plan on the host's cores, as many at once as fit into its memory.
#pragma once

#include <functional>
#include <ostream>
#include <vector>

#include "cli/time_plan.hpp"

namespace shootdown::cli {

/// Called with the job's index and its results, one for each number of CPUs; never by two threads at once. A refusal
/// of its ends the work.
using TimeSink =
    std::function<tl::expected<void, Refusal>(std::size_t job, std::vector<report::TimeResult> results)>;

struct TimeWork {
  const TimePlan& plan;
  std::vector<std::size_t> todo;     ///< indices of jobs
  std::ostream* progress = nullptr;  ///< a terminal, or none
};

/// Returns when all is done; a refusal when the host lacks the memory for a job, or the sink's.
tl::expected<void, Refusal> do_time_work(const TimeWork& work, const TimeSink& sink);

}  // namespace shootdown::cli
