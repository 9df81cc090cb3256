// SPDX-License-Identifier: MIT
// What `check hot-remove` must say of every strategy over every mapping, whatever the regime. The expected verdicts
// are here, and nowhere else in the tests.
#pragma once

#include <string>
#include <vector>

namespace shootdown::tests {

/// Runs `check hot-remove` with these arguments added and compares each line with what is expected of its strategy
/// and mapping. Returns how many searches there were.
std::size_t expect_matrix(const std::vector<std::string>& arguments);

}  // namespace shootdown::tests
