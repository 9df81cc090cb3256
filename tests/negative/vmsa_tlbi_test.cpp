// SPDX-License-Identifier: MIT
// Bugs that Linux had in computing TLBI operations, seeded again. The properties that tests/vmsa holds
// for_each_tlbi() against must fail for each, and hold where the bug did no harm: that is why it went unnoticed.
#include <gtest/gtest.h>

#include "tests/vmsa/range_cover.hpp"

namespace shootdown::vmsa {
namespace {

FlushRequest pages_at(const Regime& r, std::uint64_t pages) {
  return {.range = {r.base(), r.base() + pages * r.page_size()}};
}

/// e3ba51ab24fd: NUM was (pages >> (5 * SCALE + 1)) & 31, less one. 32 units became 0, less one: nothing.
std::vector<Issued> plan_with_masked_num(const Regime& r, const FlushRequest& q) {
  std::vector<Issued> issued;
  Tlbi t{.op = q.op, .va = q.range.start, .page_shift = r.page_shift};
  std::uint64_t pages = q.range.size() >> r.page_shift;
  for (unsigned scale = 4; scale-- > 0 && pages > 1;) {
    const std::uint64_t units = pages >> (5 * scale + 1) & 31;
    if (units == 0) continue;
    t.op.range = true;
    t.pages = units << (5 * scale + 1);
    issued.push_back({t.op, tlbi_operand(r, t)});
    t.va += t.pages << r.page_shift;
    pages -= t.pages;
  }
  t.op.range = false;
  if (pages == 1) issued.push_back({t.op, tlbi_operand(r, t)});
  return issued;
}

TEST(Negative, e3ba51ab24fd_NumEncodedWrongly) {
  for (const Regime& r : regimes) {
    for (std::uint64_t pages : {1u, 2u, 33u, 512u, 4097u, 2097151u}) {
      const FlushRequest q = pages_at(r, pages);
      EXPECT_EQ(cover_fault(r, q, plan_with_masked_num(r, q)), "") << show(r) << " " << pages;
    }
    const FlushRequest largest = pages_at(r, max_range_pages);
    EXPECT_EQ(cover_fault(r, largest, plan(r, largest, true)), "");
    EXPECT_EQ(cover_fault(r, largest, plan_with_masked_num(r, largest)), "missed at " + show(r.base()))
        << "of the largest range nothing is flushed";
  }
}

/// 01d57485fcdb: the loop ran from the start as given, in strides.
std::vector<Issued> plan_without_rounding(const Regime& r, const FlushRequest& q) {
  std::vector<Issued> issued;
  for (VirtAddr va = q.range.start; va < q.range.end; va += q.stride)
    issued.push_back(
        {q.op, tlbi_operand(r, {.op = q.op, .va = va, .ttl = q.ttl, .page_shift = r.page_shift})});
  return issued;
}

TEST(Negative, 01d57485fcdb_RangeNotAlignedToStride) {
  for (const Regime& r : regimes) {
    const std::uint64_t block = r.span(pmd_level);
    FlushRequest q{.range = {r.base() + block, r.base() + 3 * block}, .stride = block, .ttl = pmd_level};
    EXPECT_EQ(first_survivor(r, q, pmd_level, plan_without_rounding(r, q)), std::nullopt)
        << "aligned: no harm";
    q.range = {r.base() + block / 2, r.base() + block + block / 2};
    EXPECT_EQ(first_survivor(r, q, pmd_level, plan(r, q, false)), std::nullopt);
    EXPECT_EQ(first_survivor(r, q, pmd_level, plan_without_rounding(r, q)), r.base() + block)
        << show(r) << ": half of the second block was asked for, and all of it survives";
    EXPECT_NE(cover_fault(r, q, plan_without_rounding(r, q)), "");
  }
}

/// eed6bfa8b282: 0 still meant "no hint" in one caller when it had come to mean level 0 with LPA2.
TEST(Negative, eed6bfa8b282_LevelZeroIsAHint) {
  for (const Regime& r : regimes) {
    const FlushRequest right = pages_at(r, 16);
    FlushRequest wrong = right;
    wrong.ttl = Level{0};
    EXPECT_EQ(first_survivor(r, right, page_level, plan(r, right, false)), std::nullopt);
    const std::optional<VirtAddr> survivor = first_survivor(r, wrong, page_level, plan(r, wrong, false));
    if (r.page_shift == 12 && r.lpa2)
      EXPECT_EQ(survivor, r.base()) << "nothing is flushed";
    else
      EXPECT_EQ(survivor, std::nullopt) << show(r) << ": reserved, and so no hint";
    EXPECT_EQ(first_survivor(r, wrong, page_level, plan(r, wrong, true)), std::nullopt)
        << "0 is no hint for a range";
  }
}

/// 61c11656b67b: flush_tlb_page_nosync() said level 3, but is called for blocks too.
TEST(Negative, 61c11656b67b_PageHintForABlock) {
  for (const Regime& r : regimes)
    for (bool has_range_tlbi : {false, true}) {
      const FlushRequest right{.range = {r.base(), r.base() + r.page_size()}};
      FlushRequest wrong = right;
      wrong.ttl = page_level;
      EXPECT_EQ(first_survivor(r, right, pmd_level, plan(r, right, has_range_tlbi)), std::nullopt);
      EXPECT_EQ(first_survivor(r, wrong, page_level, plan(r, wrong, has_range_tlbi)), std::nullopt);
      EXPECT_EQ(first_survivor(r, wrong, pmd_level, plan(r, wrong, has_range_tlbi)), r.base()) << show(r);
    }
}

}  // namespace
}  // namespace shootdown::vmsa
