// SPDX-License-Identifier: MIT
// Strategy: whatever the regime, stride, alignment and size, the operations tile the request exactly (read back from
// their operands by a second reading of the manual), and there are as many as its digits say. Exhaustive for
// small ranges at every alignment, seeded at random up to the largest range, and at each threshold's edge.
#include "vmsa/tlbi_range.hpp"

#include <gtest/gtest.h>

#include <random>

#include "tests/vmsa/range_cover.hpp"

namespace shootdown::vmsa {
namespace {

constexpr std::uint64_t max_pages = 2097152;

FlushRequest pages_at(const Regime& r, VirtAddr start, std::uint64_t pages) {
  return {.range = {start, start + pages * r.page_size()}};
}

/// The single pages before the first address that a range can start from.
std::uint64_t leading_pages(const Regime& r, VirtAddr start, std::uint64_t pages) {
  if (!r.lpa2) return 0;
  const std::uint64_t past = start.value / r.page_size() % (65536 / r.page_size());
  return past == 0 ? 0 : std::min(pages, 65536 / r.page_size() - past);
}

/// The property itself: an exact tiling, and the count that the formula gives.
void expect_exact(const Regime& r, const FlushRequest& q, bool has_range_tlbi) {
  const std::vector<Issued> issued = plan(r, q, has_range_tlbi);
  const std::string fault = cover_fault(r, q, issued);
  if (!fault.empty())
    FAIL() << show(r) << " " << show(q) << (has_range_tlbi ? " by ranges: " : ": ") << fault;

  const std::uint64_t stride = q.stride != 0 ? q.stride : r.page_size();
  const VirtAddr start(q.range.start.value / stride * stride);
  const std::uint64_t pages = ((q.range.end - 1 - start) / stride + 1) * (stride / r.page_size());
  const std::uint64_t leading = leading_pages(r, start, pages);
  const std::uint64_t want =
      has_range_tlbi ? leading + digit_count(pages - leading) : pages / (stride / r.page_size());
  if (issued.size() != want)
    FAIL() << show(r) << " " << show(q) << ": " << issued.size() << " operations, not " << want;
  if (tlbi_count(r, q, has_range_tlbi) != want) FAIL() << "tlbi_count()";
  if (has_range_tlbi && want > 20) FAIL() << show(r) << " " << show(q) << ": " << want << " operations";
}

TEST(ForEachTlbi, VectorsWorkedOutByHand) {
  struct Vector {
    std::uint64_t pages;
    unsigned count;
  };
  const Vector vectors[] = {{1, 1},    {2, 1},     {3, 2},      {16, 1},      {31, 2},       {32, 1},
                            {33, 2},   {63, 2},    {64, 1},     {511, 3},     {512, 1},      {1000, 2},
                            {4097, 2}, {65535, 4}, {131071, 5}, {2097151, 5}, {max_pages, 1}};
  for (const Regime& r : regimes)
    for (const Vector& v : vectors) {
      const FlushRequest q = pages_at(r, r.base(), v.pages);
      EXPECT_EQ(tlbi_count(r, q, true), v.count) << show(r) << " " << v.pages;
      EXPECT_EQ(digit_count(v.pages), v.count) << v.pages;
    }
}

TEST(ForEachTlbi, AMemoryBlockIsOneOperation) {
  for (const Regime& r : regimes) {
    const VirtAddr start = r.base() + r.section_size();
    EXPECT_EQ(tlbi_count(r, {.range = {start, start + r.section_size()}}, true), 1u) << show(r);
  }
  const Regime r = regime(12, 48);
  for (std::uint64_t gib = 1; gib <= 8; ++gib)
    EXPECT_EQ(tlbi_count(r, {.range = {r.base(), r.base() + (gib << 30)}}, true), 1u);
}

/// Every size up to 160 pages from every page of 16, aligned to LPA2's unit and not.
TEST(ForEachTlbi, EverySmallRangeAtEveryAlignment) {
  for (const Regime& r : regimes)
    for (bool has_range_tlbi : {false, true})
      for (unsigned first = 0; first < 16; ++first)
        for (std::uint64_t pages = 1; pages <= 160; ++pages) {
          expect_exact(r, pages_at(r, r.base() + first * r.page_size(), pages), has_range_tlbi);
          if (HasFatalFailure()) return;
        }
}

/// Strides of a page, a contiguous group and a block; ends anywhere, also inside a stride.
TEST(ForEachTlbi, EndsAreRoundedOutToTheStride) {
  std::mt19937_64 random(9);
  for (const Regime& r : regimes)
    for (Level level : {page_level, pmd_level, pud_level}) {
      if (level < page_level && !r.has_block(level)) continue;
      for (std::uint64_t stride : {r.span(level), r.contiguous_span(level)})
        for (bool has_range_tlbi : {false, true})
          for (int i = 0; i < 200; ++i) {
            const std::uint64_t room =
                std::min<std::uint64_t>(max_pages * r.page_size() - 2 * stride, 100 * stride);
            if (max_pages * r.page_size() <= 2 * stride) break;  // 1 GiB strides with small pages only
            FlushRequest q{.stride = stride, .op = vae1is, .ttl = level, .asid = 42};
            q.range.start = r.base() + random() % (4 * stride);
            q.range.end = q.range.start + 1 + random() % room;
            expect_exact(r, q, has_range_tlbi);
            if (HasFatalFailure()) return;
            if (stride != r.span(level)) continue;
            ASSERT_EQ(first_survivor(r, q, level, plan(r, q, has_range_tlbi)), std::nullopt)
                << show(r) << show(q);
          }
    }
}

/// Why the stride is a leaf's and never a contiguous group's: the other members survive (R_LQLSD).
TEST(ForEachTlbi, AGroupIsNoStride) {
  const Regime r = regime(12, 48);
  const VirtAddr group = r.base();
  FlushRequest q{.range = {group, group + r.contiguous_span(page_level)},
                 .stride = r.contiguous_span(page_level)};
  EXPECT_EQ(first_survivor(r, q, page_level, plan(r, q, false)), group + r.page_size());
  q.stride = r.page_size();
  EXPECT_EQ(first_survivor(r, q, page_level, plan(r, q, false)), std::nullopt);
}

TEST(ForEachTlbi, LargeRangesAtRandom) {
  std::mt19937_64 random(10);
  for (const Regime& r : regimes)
    for (int i = 0; i < 20000; ++i) {
      const std::uint64_t pages = 1 + random() % (max_pages >> random() % 20);
      const std::uint64_t first = random() % (std::uint64_t{1} << 20);
      expect_exact(r, pages_at(r, r.base() + first * r.page_size(), std::min(pages, max_pages)), true);
      if (HasFatalFailure()) return;
    }
}

TEST(ForEachTlbi, TwentyIsTheMostAndIsReached) {
  const Regime r = regime(12, 52);
  // 15 pages to the next 64 KiB, a digit on each scale, and one page at the end.
  const std::uint64_t pages = 15 + 2 * (1 + 32 + 32 * 32 + 32 * 32 * 32) + 1;
  EXPECT_EQ(tlbi_count(r, pages_at(r, r.base() + r.page_size(), pages), true), 20u);
  EXPECT_EQ(tlbi_count(regime(12, 48), pages_at(r, r.base() + r.page_size(), 2097151), true), 5u);
}

TEST(ForEachTlbi, TheTopOfTheAddressSpace) {
  for (const Regime& r : regimes)
    for (bool has_range_tlbi : {false, true})
      for (std::uint64_t pages = 1; pages <= 70; ++pages) {
        expect_exact(r, {.range = {VirtAddr(0) - pages * r.page_size(), VirtAddr(0)}}, has_range_tlbi);
        if (HasFatalFailure()) return;
      }
}

/// Whether the request's own operation is the range form makes no difference.
TEST(ForEachTlbi, DecidesTheFormItself) {
  const Regime r = regime(12, 48);
  for (bool has_range_tlbi : {false, true})
    for (std::uint64_t pages : {1u, 2u, 33u}) {
      FlushRequest q = pages_at(r, r.base(), pages);
      const std::vector<Issued> want = plan(r, q, has_range_tlbi);
      q.op.range = true;
      const std::vector<Issued> got = plan(r, q, has_range_tlbi);
      ASSERT_EQ(got.size(), want.size());
      for (std::size_t i = 0; i < got.size(); ++i)
        EXPECT_TRUE(got[i].op == want[i].op && got[i].xt == want[i].xt);
    }
}

TEST(ForEachTlbi, AnEmptyRangeIsNothing) {
  for (const Regime& r : regimes)
    for (bool has_range_tlbi : {false, true}) {
      const VirtAddr at = r.base() + r.section_size();
      EXPECT_EQ(tlbi_count(r, {.range = {at, at}}, has_range_tlbi), 0u);
      EXPECT_FALSE(flush_everything(r, {.range = {at, at}}, has_range_tlbi));
    }
}

/// Beyond Linux's limit, for those who would rather not flush everything: 480 GiB with 4K pages in 60 operations.
TEST(ForEachTlbi, BeyondTheLargestRange) {
  const Regime r = regime(12, 48);
  const FlushRequest q{.range = {r.base(), r.base() + (std::uint64_t{480} << 30)}};
  EXPECT_EQ(cover_fault(r, q, plan(r, q, true)), "");
  EXPECT_EQ(tlbi_count(r, q, true), 60u);
  std::mt19937_64 random(11);
  for (int i = 0; i < 1000; ++i) {
    const FlushRequest odd = pages_at(r, r.base(), max_pages + random() % (8 * max_pages));
    ASSERT_EQ(cover_fault(r, odd, plan(r, odd, true)), "");
  }
}

/// Scaled regimes have no operands of their own: the ranges that the operations name must tile all the same.
TEST(ForEachTlbi, ScaledRegimes) {
  for (const Regime& real : regimes) {
    const Regime r = scaled(real);
    bool by_range = false;
    for (bool has_range_tlbi : {false, true})
      for (unsigned first = 0; first < 8; ++first)
        for (std::uint64_t pages = 1; first + pages <= 16; ++pages) {
          const FlushRequest q = pages_at(r, r.base() + first * r.page_size(), pages);
          std::vector<VirtRange> pieces;
          for_each_tlbi(r, q, has_range_tlbi, [&](const Tlbi& t) {
            pieces.push_back(tlbi_range(r, t));
            by_range |= t.op.range;
          });
          ASSERT_EQ(tiling_fault(pieces, q.range), "") << show(real) << show(q);
        }
    EXPECT_TRUE(by_range) << "scaling must not lose the range operations of " << show(real);
  }
}

/// 2^21 pages are a range, one page more is everything: 8, 32 and 128 GiB.
TEST(FlushEverything, WithRangeOperations) {
  for (const Regime& r : regimes) {
    EXPECT_EQ(max_pages * r.page_size(), std::uint64_t{r.page_shift == 12   ? 8u
                                                       : r.page_shift == 14 ? 32u
                                                                            : 128u}
                                             << 30);
    EXPECT_FALSE(flush_everything(r, pages_at(r, r.base(), max_pages), true));
    EXPECT_TRUE(flush_everything(r, pages_at(r, r.base(), max_pages + 1), true));
    FlushRequest grown = pages_at(r, r.base(), max_pages);
    grown.range.start += 1;
    grown.range.end += 1;
    EXPECT_TRUE(flush_everything(r, grown, true)) << "the rounded range counts";
  }
}

/// As many strides as a table has entries are everything: 2, 32 and 512 MiB of pages.
TEST(FlushEverything, WithoutRangeOperations) {
  for (const Regime& r : regimes)
    for (std::uint64_t stride : {r.page_size(), r.contiguous_span(page_level), r.span(pmd_level)}) {
      const std::uint64_t limit = (r.page_shift == 12 ? 512 : r.page_shift == 14 ? 2048 : 8192) * stride;
      auto request = [&](std::uint64_t bytes) {
        return FlushRequest{.range = {r.base(), r.base() + bytes}, .stride = stride};
      };
      EXPECT_FALSE(flush_everything(r, request(limit - stride), false)) << show(r) << " stride " << stride;
      EXPECT_TRUE(flush_everything(r, request(limit - stride + 1), false)) << "the rounded range counts";
      EXPECT_TRUE(flush_everything(r, request(limit), false));
    }
}

}  // namespace
}  // namespace shootdown::vmsa
