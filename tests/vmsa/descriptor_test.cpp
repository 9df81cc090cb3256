// SPDX-License-Identifier: MIT
// Strategy: what a descriptor is at each level, over all low bits; where each bit of an output address goes,
// bit by bit from the manual's tables D8-50 and D8-52; and that nothing is lost on the way there and back.
#include "vmsa/descriptor.hpp"

#include <gtest/gtest.h>

#include <random>

#include "tests/vmsa/show.hpp"

namespace shootdown::vmsa {
namespace {

constexpr std::uint64_t bit(unsigned i) { return std::uint64_t{1} << i; }

/// All 2^12 low bits at every level, with other bits at random: only the lowest two and the level count.
TEST(Descriptor, KindOverAllLowBits) {
  std::mt19937_64 random(3);
  using enum DescriptorKind;
  struct Row {
    int level;
    DescriptorKind of_0b01, of_0b11;
  };
  const Row rows[] = {
      {-1, invalid, table}, {0, invalid, table}, {1, block, table}, {2, block, table}, {3, invalid, page}};
  for (const Row& row : rows)
    for (std::uint64_t low = 0; low < 4096; ++low) {
      const Descriptor d{(random() & ~std::uint64_t{0xfff}) | low};
      const Level level{row.level};
      const DescriptorKind want = (low & 1) == 0 ? invalid : (low & 2) == 0 ? row.of_0b01 : row.of_0b11;
      ASSERT_EQ(d.kind(level), want) << row.level << " " << low;
      ASSERT_EQ(d.is_table(level), want == table);
      ASSERT_EQ(d.is_leaf(level), want == block || want == page);
      ASSERT_EQ(d.valid(), (low & 1) != 0);
    }
}

TEST(Descriptor, KindAsHardwareOfARegimeTakesIt) {
  for (const Regime& r : regimes)
    for (Level level = r.root_level(); level <= page_level; level = level.next())
      for (std::uint64_t low = 0; low < 4; ++low) {
        const Descriptor d{low};
        const bool block_there = r.accepts_block(level);
        const DescriptorKind want = low == 1 && level < page_level
                                        ? (block_there ? DescriptorKind::block : DescriptorKind::invalid)
                                        : d.kind(level);
        EXPECT_EQ(d.kind(r, level), want) << show(r) << " level " << level.value << " bits " << low;
      }
  // The three blocks that need 52-bit addresses, and where they are missing.
  const Descriptor block{1};
  EXPECT_EQ(block.kind(regime(12, 52), Level{0}), DescriptorKind::block);
  EXPECT_EQ(block.kind(regime(12, 48), Level{0}), DescriptorKind::invalid);
  EXPECT_EQ(block.kind(regime(14, 52), Level{1}), DescriptorKind::block);
  EXPECT_EQ(block.kind(regime(14, 48), Level{1}), DescriptorKind::invalid);
  EXPECT_EQ(block.kind(regime(16, 52), Level{1}), DescriptorKind::block);
  EXPECT_EQ(block.kind(regime(16, 48), Level{1}), DescriptorKind::invalid);
  EXPECT_EQ(block.kind(regime(12, 52), Level{-1}), DescriptorKind::invalid);
}

/// The descriptor bit that holds bit `i` of an output address.
unsigned home_of(const Regime& r, unsigned i) {
  if (r.page_shift == 16 && i >= 48) return i - 48 + 12;
  if (r.page_shift != 16 && r.lpa2 && i >= 50) return i - 50 + 8;
  return i;
}

TEST(Descriptor, EachAddressBitHasItsPlace) {
  for (const Regime& r : regimes) {
    const unsigned width = r.lpa2 || r.page_shift == 16 ? 52 : 48;
    for (unsigned i = r.page_shift; i < width; ++i) {
      SCOPED_TRACE(show(r) + " address bit " + std::to_string(i));
      const Descriptor table = make_table(r, PhysAddr(bit(i)));
      EXPECT_EQ(table.bits, 3 | bit(home_of(r, i)));
      for (Level level = r.root_level(); level <= page_level; level = level.next()) {
        if (level < page_level) {
          EXPECT_EQ(output_address(r, level, table).value, bit(i));
        }
        if ((!r.accepts_block(level) && level < page_level) || i < r.span_shift(level)) continue;
        const Descriptor at_zero = make_leaf(r, level, PhysAddr(0), page_kernel);
        const Descriptor leaf = make_leaf(r, level, PhysAddr(bit(i)), page_kernel);
        EXPECT_EQ(leaf.bits ^ at_zero.bits, bit(home_of(r, i)));
        EXPECT_EQ(output_address(r, level, leaf).value, bit(i));
        EXPECT_EQ(attributes(r, leaf), page_kernel);
      }
    }
  }
}

Attributes attributes_of(unsigned n) {
  Attributes a;
  a.memory_index = n & 7;
  a.user = n >> 3 & 1;
  a.read_only = n >> 4 & 1;
  a.dbm = n >> 5 & 1;
  a.accessed = n >> 6 & 1;
  a.not_global = n >> 7 & 1;
  a.contiguous = n >> 8 & 1;
  a.privileged_execute_never = n >> 9 & 1;
  a.user_execute_never = n >> 10 & 1;
  constexpr Shareability shareabilities[] = {Shareability::none, Shareability::outer, Shareability::inner};
  a.shareability = shareabilities[(n >> 11) % 3];
  return a;
}

/// All 3 * 2^11 attribute combinations, at random aligned addresses, at every level that has a leaf.
TEST(Descriptor, LeavesDecodeToWhatWasEncoded) {
  std::mt19937_64 random(4);
  for (const Regime& r : regimes)
    for (Level level = r.root_level(); level <= page_level; level = level.next()) {
      if (level < page_level && !r.accepts_block(level)) continue;
      const unsigned width = r.lpa2 || r.page_shift == 16 ? 52 : 48;
      for (unsigned n = 0; n < 3 << 11; ++n) {
        Attributes a = attributes_of(n);
        if (r.lpa2) a.shareability = Shareability::inner;  // in TCR_EL1
        const PhysAddr pa = PhysAddr(random() & (bit(width) - 1)).align_down(r.span(level));
        const Descriptor d = make_leaf(r, level, pa, a);
        ASSERT_EQ(output_address(r, level, d), pa) << show(r) << " level " << level.value;
        ASSERT_TRUE(attributes(r, d) == a) << show(r) << " level " << level.value << " attributes " << n;
        ASSERT_EQ(d.kind(r, level), level == page_level ? DescriptorKind::page : DescriptorKind::block);
        ASSERT_EQ(is_writable(d), !a.read_only || a.dbm);
        ASSERT_FALSE(d.has(Descriptor::software_bits));
        ASSERT_TRUE(level == page_level || !d.has(Descriptor::no_translation_bit));
      }
    }
}

TEST(Descriptor, TablesDecodeToWhatWasEncoded) {
  std::mt19937_64 random(5);
  for (const Regime& r : regimes)
    for (int i = 0; i < 2000; ++i) {
      const unsigned width = r.lpa2 || r.page_shift == 16 ? 52 : 48;
      const PhysAddr pa = PhysAddr(random() & (bit(width) - 1)).align_down(r.page_size());
      const Descriptor d = make_table(r, pa);
      ASSERT_TRUE(d.is_table(pmd_level));
      ASSERT_EQ(output_address(r, pmd_level, d), pa) << show(r);
    }
}

/// Linux's PAGE_KERNEL without its software bits.
TEST(Descriptor, PageKernelBitByBit) {
  const Descriptor d = make_leaf(regime(12, 48), page_level, PhysAddr(0x40000000), page_kernel);
  EXPECT_EQ(d.bits, 0x0068'0000'4000'0703u);  // UXN PXN DBM | AF SH=inner | page valid
  EXPECT_TRUE(d.accessed() && !d.not_global() && !d.contiguous() && is_writable(d) && !d.none());
}

TEST(Descriptor, WhatRestrictsAnother) {
  const auto leaf = [](Attributes a) { return make_leaf(regime(12, 48), page_level, PhysAddr(0x1000), a); };
  const Attributes all{.user = true, .privileged_execute_never = false, .user_execute_never = false};
  const auto without = [&](auto member, bool value) {
    Attributes a = all;
    a.*member = value;
    return leaf(a);
  };
  EXPECT_FALSE(restricts(leaf(all), leaf(all)));
  for (const Descriptor less : {without(&Attributes::user, false), without(&Attributes::read_only, true),
                                without(&Attributes::privileged_execute_never, true),
                                without(&Attributes::user_execute_never, true)}) {
    EXPECT_TRUE(restricts(leaf(all), less));
    EXPECT_FALSE(restricts(less, leaf(all)));
  }
  EXPECT_FALSE(restricts(leaf(all), without(&Attributes::accessed, false)));
  // Clean is no restriction, and from clean to read-only none that anybody could miss.
  const Descriptor clean = leaf({.user = true, .read_only = true, .dbm = true});
  EXPECT_FALSE(restricts(leaf({.user = true}), clean));
  EXPECT_FALSE(restricts(clean, leaf({.user = true, .read_only = true})));
}

TEST(Descriptor, SlotsOfATable) {
  for (const Regime& r : regimes)
    for (Level level = r.root_level(); level <= page_level; level = level.next()) {
      const PhysAddr table(0x8000'0000);
      for (unsigned i : {0u, 1u, r.entry_count(level) - 1}) {
        const VirtAddr va = r.base() + i * r.span(level);
        EXPECT_EQ(slot_address(r, table, level, va), table + 8 * i) << show(r) << " level " << level.value;
        EXPECT_EQ(slot_address(r, table, level, va + (r.span(level) - 1)), table + 8 * i);
      }
    }
}

}  // namespace
}  // namespace shootdown::vmsa
