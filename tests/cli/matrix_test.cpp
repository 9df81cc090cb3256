// SPDX-License-Identifier: MIT
// The verdict matrix of hot-remove at the default VA size of each granule, and with tables of real size.
#include <gtest/gtest.h>

#include "tests/cli/matrix.hpp"

namespace shootdown::tests {
namespace {

TEST(Matrix, OfEveryStrategyOverEveryMapping) {
#ifdef SHOOTDOWN_SANITIZED
  EXPECT_EQ(expect_matrix({"--strategy", "R0,B", "--granule", "64k", "--extent", "across"}), 10u);
#else
  // Seven strategies over four mappings of the linear map and one of vmemmap, two of them with 4K pages; a range across
  // tables for each, one inside of a table for all that are not contiguous, and with 4K a long one.
  EXPECT_EQ(expect_matrix({"--strategy", "all", "--granule", "all"}),
            7u * (4 + 2 + 2 + 2 + 1) + 2 * 7u * (4 + 1 + 2 + 1));
#endif
}

}  // namespace
}  // namespace shootdown::tests
