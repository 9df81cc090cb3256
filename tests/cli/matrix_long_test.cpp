// SPDX-License-Identifier: MIT
// The same verdicts in all ten regimes, in the layout of 2019, and with tables of real size: neither scaling nor the
// number of levels changes one.
#include <gtest/gtest.h>

#include "tests/cli/matrix.hpp"

namespace shootdown::tests {
namespace {

TEST(MatrixLong, OfEveryRegime) {
  EXPECT_EQ(expect_matrix({"--strategy", "all", "--granule", "all", "--va-bits", "all"}),
            7u * (3 * (4 + 2) + 7 * (4 + 1)));
}

TEST(MatrixLong, OfTheOldLayout) {
  // No 52-bit VA with 4K or 16K pages.
  EXPECT_EQ(expect_matrix({"--strategy", "all", "--granule", "all", "--va-bits", "all", "--layout", "old"}),
            7u * (2 * (4 + 2) + 6 * (4 + 1)));
}

TEST(MatrixLong, OfTablesOfRealSize) {
  // Without contiguous mappings, see `check --help`.
  for (const char* strategy : {"P", "R0", "R", "B", "L", "T", "freed-before-flush"})
    EXPECT_EQ(expect_matrix({"--strategy", strategy, "--granule", "all", "--geometry", "full", "--mapping", "pages,blocks"}),
              2u * 3 + 4);
}

}  // namespace
}  // namespace shootdown::tests
