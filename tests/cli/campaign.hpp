// SPDX-License-Identifier: MIT
// What a campaign of mutants must say, whichever strategy it weakens.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace shootdown::tests {

/// Runs `check hot-remove --mutants` with these arguments added: each mutant must be refuted, or redundant with a
/// reason. Returns what was refuted: "mutation function", the function that issues the operation.
std::set<std::string> expect_no_survivor(const std::vector<std::string>& arguments);

}  // namespace shootdown::tests
