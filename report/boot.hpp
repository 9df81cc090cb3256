// SPDX-License-Identifier: MIT
// Results of `boot` and how they are written: JSON, one object a line (docs/formats.md), KTAP, and a table for
// people. Counts are exact; time appears as a ratio between strategies of one run only.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "report/counts.hpp"

namespace shootdown::report {

/// One strategy on one machine.
struct BootResult {
  std::string scenario = "hot-remove";
  std::string strategy;
  unsigned page_shift = 12;
  unsigned va_bits = 48;
  unsigned cpus = 0;
  std::uint64_t memory_bytes = 0;
  std::string mapping;
  std::string vmemmap;  ///< block, pages
  std::string cpu_model;

  std::vector<std::string> failures;  ///< each assertion that did not hold, in words; none: a pass
  std::uint64_t stale_accesses = 0;   ///< loads through a translation that should have been gone
  Counts counts;
  std::uint64_t tables_retained = 0;  ///< empty tables that the table rule keeps on purpose
  std::optional<double> time_ratio;   ///< removal time against the first strategy of the same run

  bool passed() const { return failures.empty(); }
};

nlohmann::ordered_json boot_json(const BootResult& result);
void write_boot_ktap(std::ostream& out, const std::vector<BootResult>& results);

struct BootTextStyle {
  bool colour = false;
};
/// Results that differ in strategy alone share a table.
void write_boot_text(std::ostream& out, const std::vector<BootResult>& results, const BootTextStyle& style);

}  // namespace shootdown::report
