// SPDX-License-Identifier: MIT
// Results of `time` and how they are written: JSON, one object a line (docs/formats.md), and a table for people.
// Counts are exact and times are estimates; they never share a column.
#pragma once

#include <array>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "machine/timed/prices.hpp"
#include "machine/timed/system.hpp"
#include "machine/timed/uncertainty.hpp"
#include "report/counts.hpp"

namespace shootdown::report {

/// One line of `time`.
struct TimeResult {
  std::string scenario;
  std::string strategy;
  unsigned page_shift = 12;
  unsigned va_bits = 48;
  unsigned cpus = 1;
  unsigned sockets = 1;
  std::string load;  ///< of the other CPUs
  timed::Bytes memory;
  std::string profile;
  std::string profile_digest;
  bool range_tlbi = true;
  vmsa::BbmLevel bbm = vmsa::BbmLevel::level0;
  std::array<unsigned, timed::status_names.size()> figure_counts{};  ///< the profile's figures, by status
  std::string mapping;
  std::string vmemmap;
  bool erratum = false;
  bool blocks_one_by_one = false;

  timed::Nanoseconds simulated;
  timed::Nanoseconds low;
  timed::Nanoseconds high;
  std::string dominant_parameter;
  timed::Status dominant_status = timed::Status::guess;
  timed::Nanoseconds dominant_low;
  timed::Nanoseconds dominant_high;
  timed::Breakdown breakdown;
  timed::Bystanders bystanders;
  timed::Nanoseconds longest_stretch;  ///< without a reschedule point
  bool rcu_stall_warning = false;

  Counts counts;
  std::vector<std::string> warnings;
  std::vector<std::string> remarks;  ///< where the strategy did something else than its name says
  std::uint64_t seed = 0;
  unsigned samples = 0;
  double host_seconds = 0;
  timed::Bytes host_peak;
};

nlohmann::ordered_json time_json(const TimeResult& result);
/// The part of a result that says what was asked: equal for equal questions, used to resume a sweep.
std::string time_key(const nlohmann::ordered_json& json);

/// All results of one invocation; those that differ in strategy alone share a table.
void write_time_text(std::ostream& out, const std::vector<TimeResult>& results);

/// "range TLBI, FEAT_BBM level 0": what a machine has of what decides which operations are issued.
std::string readable_features(bool range_tlbi, std::string_view bbm);
/// "48 figures: 0 measured on this machine, 3 published, 14 derived, 31 guessed".
std::string readable_figures(const std::array<unsigned, timed::status_names.size()>& counts);
/// "60.2 s", "417 us": three digits.
std::string readable_time(timed::Nanoseconds time);
/// "60.2", "0.417", "12034": three digits, and all of those before the point.
std::string readable_number(double x);
/// "480G", "1.5T", "128M".
std::string readable_bytes(timed::Bytes bytes);

}  // namespace shootdown::report
