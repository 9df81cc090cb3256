// SPDX-License-Identifier: MIT
// One removal asked of `boot` and of `time` in the same words, and their `counts` held against each other field by
// field. What a side does not know (null) is named, never passed over.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace shootdown::tests {

struct SameRemoval {
  std::vector<std::string> options;      ///< that both commands understand
  std::vector<std::string> boot_only{};  ///< what `boot` calls what `time` has in a profile
  std::vector<std::string> time_only{};
};

/// Where two `counts` objects differ, a line each; a field that either side does not know is one of them, as
/// "NAME: unknown to ...".
std::vector<std::string> differences(const nlohmann::json& boot, const nlohmann::json& time);

/// Runs both, strategy by strategy, and expects equal counts; `instructions` alone is unknown to both.
void expect_same_counts(const SameRemoval& removal);

}  // namespace shootdown::tests
