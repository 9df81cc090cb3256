// SPDX-License-Identifier: MIT
// The options of `check`, as the user typed them, and the combinations that they select.
#pragma once

#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "cli/refusal.hpp"
#include "report/check/writer.hpp"

namespace shootdown::cli {

/// Empty means "not given". Lists are what was separated by commas.
struct CheckOptions {
  std::string scenario;
  std::vector<std::string> strategies;  ///< default: all
  std::vector<std::string> granules;    ///< default: 4k
  std::string va_bits;                  ///< a number, all; default 48, 47, 48 by granule
  std::string cpus;                     ///< default: 3
  std::string path;                     ///< linear, vmemmap, both, all
  std::vector<std::string> extents;     ///< default: all that a kind of mapping has
  std::vector<std::string> mappings;
  std::string vmemmap;  ///< block, pages, all
  std::string layout;
  std::string table_rule;
  std::vector<std::string> features;
  std::string geometry;
  std::string max_states;
  std::string max_memory;
  std::string replay;
  bool memmap_on_memory = false;
  bool mutants = false;
  std::string format = "text";
  bool verbose = false;
  unsigned jobs = 0;  ///< searches at once; 0: one for each core
};

inline const std::vector<std::string> scenario_names{"hot-remove", "hot-add"};
inline const std::vector<std::string> check_formats{"text", "json", "ktap"};
inline const std::vector<std::string> feature_options{"tlbirange", "hafdbs", "repeat-tlbi",
                                                      "bbm1",      "bbm2",   "bbm2-noabort"};

/// Everything that will be searched, in the order of the output: page size, VA size, strategy, kind of mapping.
/// Refuses what does not exist when nothing else was asked for.
tl::expected<report::CheckPlan, Refusal> make_check_plan(const CheckOptions& options);

}  // namespace shootdown::cli
