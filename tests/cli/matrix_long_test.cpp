// SPDX-License-Identifier: MIT
// The same verdicts in all ten regimes, in the layout of 2019, and with tables of real size: neither scaling nor the
// number of levels changes one.
#include <gtest/gtest.h>

#include "tests/cli/matrix.hpp"

namespace shootdown::tests {
namespace {

/// Ranges across tables for each kind of mapping; inside of one for those that are not contiguous, but blocks in the root
/// of two levels.
constexpr unsigned cells_4k(unsigned regimes) { return regimes * ((4 + 2) + (2 + 2)); }
constexpr unsigned cells(unsigned regimes) { return regimes * ((4 + 1) + (2 + 1)); }
constexpr unsigned cells_of_two_levels(unsigned regimes) { return regimes * ((4 + 1) + (1 + 1)); }

TEST(MatrixLong, OfEveryRegime) {  // and one long range, with 4K pages and 48 bits
  EXPECT_EQ(expect_matrix({"--strategy", "all", "--granule", "all", "--va-bits", "all"}),
            7u * (cells_4k(3) + 1 + cells(5) + cells_of_two_levels(2)));
}

TEST(MatrixLong, OfTheOldLayout) {
  // No 52-bit VA with 4K or 16K pages.
  EXPECT_EQ(expect_matrix({"--strategy", "all", "--granule", "all", "--va-bits", "all", "--layout", "old"}),
            7u * (cells_4k(2) + 1 + cells(4) + cells_of_two_levels(2)));
}

TEST(MatrixLong, OfTablesOfRealSize) {
  auto full = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--geometry", "full"});
    return expect_matrix(arguments);
  };
  // Contiguous groups of real size have too many orders in which their stores can become visible.
  EXPECT_EQ(full({"--strategy", "all", "--granule", "all", "--mapping", "pages,blocks"}), 7u * (3 * 2 + 1));
  EXPECT_EQ(full({"--strategy", "all", "--granule", "all", "--vmemmap", "block"}), 7u);
  EXPECT_EQ(full({"--strategy", "all", "--granule", "16k,64k", "--vmemmap", "pages"}), 7u * 2);
  // A section has 512 vmemmap pages here. L and T keep all of them stale at once: six million states and more.
  EXPECT_EQ(full({"--strategy", "P,R0,R,B,freed-before-flush", "--granule", "4k", "--vmemmap", "pages"}), 5u);
}

}  // namespace
}  // namespace shootdown::tests
