// SPDX-License-Identifier: MIT
// One check: a configuration explored to the end, or to the shortest counterexample and what comes of it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "explore/search.hpp"
#include "scenario/hot_remove.hpp"

namespace shootdown::scenario {

enum class Verdict : std::uint8_t { safe, unsafe, bound };
inline const char* name(Verdict v) {
  return v == Verdict::safe ? "safe" : v == Verdict::unsafe ? "unsafe" : "bound";
}

/// The shortest way to a harm.
struct Counterexample {
  model::Violation violation;
  shadow::Cause cause = shadow::Cause::none;
  std::vector<explore::TimelineStep> timeline;  ///< from the start to the harm
  std::vector<explore::TimelineStep>
      consequence;      ///< and on to the damage; empty when there is nothing to add
  bool at_end = false;  ///< the harm is that of a run that has finished, is stuck, or never ends
};

struct CheckResult {
  HotRemoveConfig config;
  Verdict verdict = Verdict::safe;
  explore::SearchResult search;  ///< states, transitions, how it ended
  std::optional<Counterexample> counterexample;
  std::optional<unsigned> tables_retained;  ///< the most at the end of any run; when exhausted only
  shadow::HarmSet raisable;                 ///< what this search could have found
  double audit_seconds = 0;                 ///< of the identity audit, after an exhausted search
  std::string replay;                       ///< token of the counterexample, or empty
};

/// Explores one configuration, which `refuse` must accept.
CheckResult check(const HotRemoveConfig& config, const explore::SearchOptions& options);

/// A system in which the path of a counterexample of `config` can be followed.
std::unique_ptr<model::System> ready_to_follow(const HotRemoveConfig& config);

/// Reproduces the counterexample of a token exactly. The error is one line: not a token, made by another build,
/// or made for something that does not exist.
tl::expected<CheckResult, std::string> replay(std::string_view token);

}  // namespace shootdown::scenario
