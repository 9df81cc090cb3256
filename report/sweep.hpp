// SPDX-License-Identifier: MIT
// Sweeps of `time` out of their JSON lines: a table with a row for each machine and a column for each strategy.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace shootdown::report {

/// Distinct values of a member, in the order of their first appearance.
std::vector<nlohmann::ordered_json> distinct(const std::vector<nlohmann::ordered_json>& lines,
                                             const char* member);

void write_sweep_text(std::ostream& out, const std::vector<nlohmann::ordered_json>& lines);

}  // namespace shootdown::report
