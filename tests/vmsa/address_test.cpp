// SPDX-License-Identifier: MIT
// Address arithmetic at the edges: alignment against division, and ranges that end at the top of the address
// space, where the end is 0.
#include "vmsa/address.hpp"

#include <gtest/gtest.h>

#include <random>
#include <type_traits>

namespace shootdown::vmsa {
namespace {

static_assert(!std::is_convertible_v<std::uint64_t, VirtAddr>);
static_assert(!std::is_constructible_v<PhysAddr, VirtAddr>,
              "a virtual address cannot pass for a physical one");

TEST(Address, AlignsLikeDivision) {
  std::mt19937_64 random(1);
  for (unsigned shift = 0; shift < 48; ++shift) {
    const std::uint64_t unit = std::uint64_t{1} << shift;
    for (int i = 0; i < 100; ++i) {
      const std::uint64_t value = random() >> 2;
      const VirtAddr va(value);
      EXPECT_EQ(va.align_down(unit).value, value / unit * unit);
      EXPECT_EQ(va.align_up(unit).value, (value + unit - 1) / unit * unit);
      EXPECT_EQ(va.is_aligned(unit), value % unit == 0);
    }
  }
}

TEST(Address, TheTopAlignsUpToZero) {
  EXPECT_EQ(VirtAddr(0).align_up(4096), VirtAddr(0));
  EXPECT_EQ(VirtAddr(~std::uint64_t{0}).align_up(4096), VirtAddr(0));
}

TEST(Range, TheLastPage) {
  const VirtRange last{VirtAddr(0) - 4096, VirtAddr(0)};
  EXPECT_EQ(last.size(), 4096u);
  EXPECT_FALSE(last.empty());
  EXPECT_TRUE(last.contains(VirtAddr(~std::uint64_t{0})));
  EXPECT_FALSE(last.contains(VirtAddr(0)));
  EXPECT_FALSE(last.contains(VirtAddr(0) - 4097));
  EXPECT_TRUE(last.overlaps({VirtAddr(0) - 8192, VirtAddr(0)}));
  EXPECT_FALSE(last.overlaps({VirtAddr(0), VirtAddr(4096)}));
}

/// Every pair of ranges in a space of 16 addresses around the wrap.
TEST(Range, OverlapIsACommonAddress) {
  auto at = [](unsigned i) { return VirtAddr(0) - 15 + i; };
  for (unsigned a = 0; a < 16; ++a)
    for (unsigned b = a; b < 16; ++b)
      for (unsigned c = 0; c < 16; ++c)
        for (unsigned d = c; d < 16; ++d) {
          bool common = false;
          for (unsigned i = 0; i < 16; ++i) common |= a <= i && i < b && c <= i && i < d;
          const VirtRange x{at(a), at(b)}, y{at(c), at(d)};
          ASSERT_EQ(x.overlaps(y), common) << a << b << c << d;
        }
}

}  // namespace
}  // namespace shootdown::vmsa
