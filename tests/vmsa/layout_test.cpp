// SPDX-License-Identifier: MIT
// Strategy: region sizes and ends of Linux's kernel half against the published table, and which table levels
// vmalloc and vmemmap share in today's layout and in that of 2019.
#include "vmsa/layout.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/vmsa/show.hpp"

namespace shootdown::vmsa {
namespace {

constexpr std::uint64_t m = 1 << 20, g = m << 10, t = g << 10, p = t << 10;

struct Regions {
  unsigned page_shift, va_bits;
  std::uint64_t linear, vmemmap;
  std::vector<int> shared;  ///< levels whose entry vmalloc's end and vmemmap's start share, today
  bool shares_top_2019;
};

const std::vector<Regions> all_regions{
    {12, 39, 256 * g, 4 * g, {}, false},
    {12, 48, 128 * t, 2 * t, {0}, true},
    {12, 52, 4 * p - 128 * t, 62 * t, {-1, 0}, false},
    {14, 36, 32 * g, 128 * m, {}, false},
    {14, 47, 64 * t, 256 * g, {1}, false},
    {14, 48, 128 * t, 512 * g, {0, 1}, true},
    {14, 52, 4 * p - 64 * t, 15 * t + 768 * g, {0, 1}, false},  // falls back to 47 bits, not to 48
    {16, 42, 2 * t, 2 * g, {}, false},
    {16, 48, 128 * t, 128 * g, {1}, false},
    {16, 52, 4 * p - 128 * t, 3 * t + 896 * g, {1}, false},
};

TEST(Layout, TodaysRegions) {
  ASSERT_EQ(all_regions.size(), regimes.size());
  for (const Regions& want : all_regions) {
    const Regime r = regime(want.page_shift, want.va_bits);
    const Layout l = layout(r, LayoutAge::today);
    SCOPED_TRACE(show(r));
    EXPECT_EQ(l.linear.start.value, std::uint64_t{0} - (std::uint64_t{1} << want.va_bits));
    EXPECT_EQ(l.linear.size(), want.linear);
    EXPECT_EQ(l.vmemmap.size(), want.vmemmap);
    EXPECT_EQ(l.vmemmap.end.value, std::uint64_t{0} - g) << "1 GiB below the top";
    EXPECT_EQ(l.vmemmap.start - l.vmalloc_end, 8 * m);
    EXPECT_LT(l.linear.end, l.vmalloc_end);
    EXPECT_EQ(l.vmemmap.size(), l.linear.size() / r.page_size() * 64) << "a struct page for each page";
  }
}

TEST(Layout, RegionsOf2019) {
  for (const Regime& r : regimes) {
    EXPECT_EQ(has_layout(r, LayoutAge::old), !r.lpa2) << show(r);
    EXPECT_TRUE(has_layout(r, LayoutAge::today));
    if (r.lpa2) continue;
    const Layout l = layout(r, LayoutAge::old);
    EXPECT_EQ(l.linear, layout(r, LayoutAge::today).linear);
    EXPECT_EQ(l.vmemmap.size(), layout(r, LayoutAge::today).vmemmap.size());
    EXPECT_EQ(l.vmemmap.end.value, std::uint64_t{0} - 2 * m);
    EXPECT_LT(l.vmalloc_end, l.vmemmap.start);
    EXPECT_LT(l.linear.end, l.vmalloc_end);
  }
}

/// Independent of the code: two addresses share the entry at a level when their indices agree down to it.
bool share_entry(const Regime& r, VirtAddr a, VirtAddr b, Level level) {
  for (Level l = r.root_level(); l <= level; l = l.next())
    if (r.index(l, a) != r.index(l, b)) return false;
  return true;
}

TEST(Layout, LevelsSharedToday) {
  for (const Regions& want : all_regions) {
    const Regime r = regime(want.page_shift, want.va_bits);
    const Layout l = layout(r, LayoutAge::today);
    SCOPED_TRACE(show(r));
    std::vector<int> shared;
    for (Level level = r.root_level(); level <= page_level; level = level.next())
      if (share_entry(r, l.vmalloc_end - 1, l.vmemmap.start, level)) shared.push_back(level.value);
    EXPECT_EQ(shared, want.shared);
    const std::optional<Level> deepest = deepest_shared_level(r, l);
    ASSERT_EQ(deepest.has_value(), !want.shared.empty());
    if (deepest) {
      EXPECT_EQ(deepest->value, want.shared.back());
      EXPECT_LT(*deepest, pmd_level) << "no table of pages is ever shared";
    }
    EXPECT_EQ(vmalloc_shares_top_entry(r, l), !want.shared.empty());
  }
  EXPECT_EQ(std::count_if(all_regions.begin(), all_regions.end(), [](auto& x) { return !x.shared.empty(); }),
            7)
      << "the rule of V7 on today's layout would keep tables in 7 of 10 configurations";
}

TEST(Layout, TopEntrySharedIn2019) {
  for (const Regions& want : all_regions) {
    const Regime r = regime(want.page_shift, want.va_bits);
    if (!has_layout(r, LayoutAge::old)) continue;
    const Layout l = layout(r, LayoutAge::old);
    EXPECT_EQ(vmalloc_shares_top_entry(r, l), want.shares_top_2019) << show(r);
    // As the post compared it: both addresses themselves, masked by the span of a top entry.
    const std::uint64_t top = r.span(r.root_level());
    EXPECT_EQ(l.vmalloc_end.align_down(top) == l.vmemmap.start.align_down(top), want.shares_top_2019)
        << show(r);
  }
}

}  // namespace
}  // namespace shootdown::vmsa
