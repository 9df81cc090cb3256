// SPDX-License-Identifier: MIT
// From `time` options to work: which runs, priced for which numbers of CPUs. Checks everything before anything runs.
#pragma once

#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "cli/refusal.hpp"
#include "cli/time.hpp"
#include "machine/timed/profile.hpp"
#include "machine/timed/uncertainty.hpp"
#include "scenario/timed_hot_remove.hpp"

namespace shootdown::cli {

/// One run of the procedure, and the machines it is priced on.
struct TimeJob {
  scenario::HotRemoveSpec spec;
  std::vector<unsigned> cpus;
};

struct TimePlan {
  timed::Profile profile;
  timed::Load load = timed::Load::compute;
  timed::Sampling sampling;
  unsigned sockets = 0;       ///< 0: as many as the CPUs fill
  std::vector<TimeJob> jobs;  ///< in the order of the output
  bool sweep = false;
  unsigned workers = 1;

  scenario::PricedOn priced_on(unsigned cpus) const { return {profile, cpus, load, sampling, sockets}; }
};

tl::expected<TimePlan, Refusal> make_time_plan(const TimeOptions& options);

/// "480G", "1.5T", "128MiB", "134217728": binary units. Decimal ones (480GB) are refused with what to write instead.
tl::expected<std::uint64_t, std::string> parse_size(const std::string& text);
/// "1..256" doubles from the first to the last, both included; "8..64+8" adds; "1,8,72" lists.
tl::expected<std::vector<std::uint64_t>, std::string> parse_steps(const std::string& text);

}  // namespace shootdown::cli
