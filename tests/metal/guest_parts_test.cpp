// SPDX-License-Identifier: MIT
// Strategy: the parts of the image that are plain C++ run on the host too: options word by word, the page
// allocator under random use against a map of what is out, memblock against a bitmap, register values against
// hand-made ones, the tree summary on trees that differ in one thing each.
#include <gtest/gtest.h>

#include <bitset>
#include <map>
#include <random>
#include <string>

#include "machine/metal/guest/kernel_tree.hpp"
#include "machine/metal/guest/memblock.hpp"
#include "machine/metal/guest/options.hpp"
#include "machine/metal/guest/page_allocator.hpp"
#include "machine/metal/guest/translation_control.hpp"

namespace shootdown::metal::guest {
namespace {

// --- options

OptionError parse(const std::string& line, Options& o) { return parse_options(line.c_str(), o); }
std::string refused(const std::string& line) {
  Options o;
  const OptionError e = parse(line, o);
  if (e.expected == nullptr) return "";
  return std::string(e.word.text, e.word.size) + ": " + e.expected;
}

TEST(Options, EveryWord) {
  Options o;
  const OptionError e = parse(
      "console=ttyAMA0 sd.page=14 sd.va=47  sd.memory=268435456 sd.boot=536870912 "
      "sd.strategy=P,R0,freed-before-flush "
      "sd.mapping=contpmd sd.vmemmap=pages sd.layout=old sd.rule=v7 sd.neighbours=none sd.range=off "
      "sd.repeat=on "
      "sd.again=off sd.watch=50 quiet",
      o);
  ASSERT_EQ(e.expected, nullptr);
  EXPECT_EQ(o.page_shift, 14u);
  EXPECT_EQ(o.va_bits, 47u);
  EXPECT_EQ(o.memory, 268435456u);
  EXPECT_EQ(o.boot, 536870912u);
  ASSERT_EQ(o.run_count, 3u);
  EXPECT_STREQ(mm::strategies[o.strategies[2]].name, "freed-before-flush");
  EXPECT_STREQ(mm::mappings[o.mapping].name, "contpmd");
  EXPECT_TRUE(o.vmemmap_pages);
  EXPECT_EQ(o.layout, vmsa::LayoutAge::old);
  EXPECT_EQ(o.rule, mm::TableRule::v7);
  EXPECT_FALSE(o.neighbours);
  EXPECT_FALSE(o.range_tlbi);
  EXPECT_TRUE(o.repeat_tlbi);
  EXPECT_FALSE(o.again);
  EXPECT_EQ(o.watch_us, 50u);
}

TEST(Options, WithoutWordsStrategyBOnOneGibibyte) {
  Options o;
  ASSERT_EQ(parse("", o).expected, nullptr);
  EXPECT_STREQ(mm::strategies[o.strategies[0]].name, "B");
  EXPECT_EQ(o.memory, std::uint64_t{1} << 30);
}

TEST(Options, RefusedByName) {
  EXPECT_EQ(refused("sd.pages=14"), "sd.pages=14: one of the known words");
  EXPECT_EQ(refused("sd.page"), "sd.page: sd.key=value");
  EXPECT_EQ(refused("sd.page=4k"), "sd.page=4k: log2 of the page size: 12, 14 or 16");
  EXPECT_EQ(refused("sd.memory=99999999999999999999"), "sd.memory=99999999999999999999: a number of bytes");
  EXPECT_EQ(refused("sd.memory="), "sd.memory=: a number of bytes");
  EXPECT_EQ(refused("sd.strategy=P,,B"), "sd.strategy=P,,B: names of strategies, with commas");
  EXPECT_EQ(refused("sd.strategy=Q"), "sd.strategy=Q: names of strategies, with commas");
  EXPECT_EQ(refused("sd.range=yes"), "sd.range=yes: on or off");
  EXPECT_EQ(refused("sd.page=12 sd.va=47"), ": a page and VA size that Linux can be built with");
  EXPECT_EQ(refused("sd.memory=4096"), ": memory in whole sections");
  EXPECT_EQ(refused("sd.page=12 sd.va=52 sd.layout=old"),
            ": a layout that exists: the old one has no 52-bit VA with LPA2");
  EXPECT_EQ(refused("sd.page=14 sd.va=36 sd.memory=34359738368"), ": memory that fits the linear map");
}

TEST(Options, NoMoreRunsThanFit) {
  std::string line = "sd.strategy=P";
  for (unsigned i = 1; i < max_runs; ++i) line += ",P";
  EXPECT_EQ(refused(line), "");
  EXPECT_NE(refused(line + ",P"), "");
}

// --- pages

constexpr std::uint64_t page = 4096;
constexpr PhysAddr base{std::uint64_t{1} << 30};

struct Pages {
  std::vector<Page> array = std::vector<Page>(5000);
  PageAllocator pages;
  Pages() {
    pages.init(array.data(), base, 5000, 12);
    pages.add({base + 3 * page, base + 4997 * page});
  }
};

TEST(PageAllocator, RandomUseNeverOverlapsAndComesBackWhole) {
  Pages p;
  const PageCounts before = p.pages.counts();
  EXPECT_EQ(before.free_pages, 4994u);
  std::mt19937_64 random(7);
  std::map<std::uint64_t, unsigned> out;  // first page number, order
  std::bitset<5000> taken;
  for (int step = 0; step < 20000; ++step) {
    if (random() % 2 == 0) {
      const unsigned order = random() % 5;
      const PhysAddr a = p.pages.alloc(PageUse::vmemmap, order);
      if (a == PhysAddr{}) continue;
      ASSERT_TRUE(a.is_aligned(page << order));
      for (unsigned i = 0; i < 1u << order; ++i) {
        const std::size_t n = (a - base) / page + i;
        ASSERT_FALSE(taken[n]);
        taken[n] = true;
      }
      out[(a - base) / page] = order;
    } else if (!out.empty()) {
      auto it = std::next(out.begin(), static_cast<std::ptrdiff_t>(random() % out.size()));
      for (unsigned i = 0; i < 1u << it->second; ++i) taken[it->first + i] = false;
      ASSERT_EQ(p.pages.free(base + it->first * page, PageUse::vmemmap, it->second), nullptr);
      out.erase(it);
    }
  }
  for (const auto& [n, order] : out)
    ASSERT_EQ(p.pages.free(base + n * page, PageUse::vmemmap, order), nullptr);
  EXPECT_EQ(p.pages.counts(), before);
  // Buddies have been joined again: the largest pieces are there.
  unsigned largest = 0;
  while (p.pages.alloc(PageUse::data, PageAllocator::max_order) != PhysAddr{}) ++largest;
  EXPECT_EQ(largest, 3u);
}

TEST(PageAllocator, WrongFreesAreNamed) {
  Pages p;
  const PhysAddr a = p.pages.alloc(PageUse::table, 0);
  const PhysAddr b = p.pages.alloc(PageUse::vmemmap, 3);
  EXPECT_STREQ(p.pages.free(a, PageUse::vmemmap, 0),
               "pages are freed as something else than they were allocated as");
  EXPECT_STREQ(p.pages.free(b, PageUse::vmemmap, 0),
               "pages are freed with another order than they were allocated with");
  EXPECT_STREQ(p.pages.free(b + page, PageUse::vmemmap, 0), "a page is freed twice");
  EXPECT_STREQ(p.pages.free(base, PageUse::table, 0), "a page is freed that was not allocated");
  EXPECT_STREQ(p.pages.free(PhysAddr(page), PageUse::table, 0), "a page that is not boot memory is freed");
  EXPECT_EQ(p.pages.free(a, PageUse::table, 0), nullptr);
  EXPECT_STREQ(p.pages.free(a, PageUse::table, 0), "a page is freed twice");
}

TEST(PageAllocator, DeferredPagesStayOutUntilTheyAreTakenAndFreed) {
  Pages p;
  const PageCounts before = p.pages.counts();
  PageAllocator::DeferredList list;
  const PhysAddr a = p.pages.alloc(PageUse::table, 0);
  const PhysAddr b = p.pages.alloc(PageUse::vmemmap, 2);
  EXPECT_EQ(p.pages.defer(list, a, PageUse::table, 0), nullptr);
  EXPECT_EQ(p.pages.defer(list, b, PageUse::vmemmap, 2), nullptr);
  EXPECT_STREQ(p.pages.free(a, PageUse::table, 0), "a page is freed that was not allocated");
  EXPECT_STREQ(p.pages.defer(list, a, PageUse::table, 0), "a page is freed that was not allocated");
  unsigned count = 0;
  for (auto d = p.pages.take(list); d.page != PhysAddr{}; d = p.pages.take(list), ++count)
    EXPECT_EQ(p.pages.free(d.page, d.use, d.order), nullptr);
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(p.pages.counts(), before);
}

// --- memblock

TEST(Memblock, AgainstABitmap) {
  std::mt19937_64 random(11);
  Memblock m;
  std::bitset<64> bits;
  for (int step = 0; step < 5000; ++step) {
    const std::uint64_t a = random() % 64, b = random() % 64;
    const PhysRange r{PhysAddr(std::min(a, b)), PhysAddr(std::max(a, b))};
    const bool adds = random() % 2 == 0;
    if (adds ? m.add(r) : m.remove(r))
      for (std::uint64_t i = r.start.value; i < r.end.value; ++i) bits[i] = adds;
    for (std::uint64_t i = 0; i < 64; ++i) ASSERT_EQ(m.contains(PhysAddr(i)), bits[i]) << step;
  }
}

TEST(Memblock, FullChangesNothing) {
  Memblock m;
  for (unsigned i = 0; i < Memblock::capacity; ++i)
    EXPECT_TRUE(m.add({PhysAddr(4 * i), PhysAddr(4 * i + 2)}));
  EXPECT_FALSE(m.add({PhysAddr(1000), PhysAddr(1001)}));
  EXPECT_FALSE(m.contains(PhysAddr(1000)));
  EXPECT_TRUE(m.add({PhysAddr(0), PhysAddr(64)}));
  EXPECT_EQ(m.count(), 1u);
}

// --- registers

/// A Cortex-A72, the fields that matter.
constexpr IdRegisters cortex_a72{.mmfr0 = 0x1124, .mmfr1 = 0, .mmfr2 = 0, .isar0 = 0x11120};

TEST(TranslationControl, WhatACpuLacks) {
  constexpr IdRegisters everything{.mmfr0 = std::uint64_t{1} << 28 | 2 << 20 | 6,
                                   .mmfr1 = 2,
                                   .mmfr2 = std::uint64_t{2} << 52 | 1 << 16,
                                   .isar0 = std::uint64_t{2} << 56};
  for (const vmsa::Regime& r : vmsa::regimes) EXPECT_EQ(missing_for(everything, r), nullptr);
  EXPECT_STREQ(missing_for(cortex_a72, vmsa::regime(14, 47)), "16K pages");
  EXPECT_STREQ(missing_for(cortex_a72, vmsa::regime(12, 52)),
               "52-bit addresses with this page size (FEAT_LPA2)");
  EXPECT_STREQ(missing_for(cortex_a72, vmsa::regime(16, 52)), "52-bit virtual addresses (FEAT_LVA)");
  EXPECT_EQ(missing_for(cortex_a72, vmsa::regime(16, 48)), nullptr);
  constexpr IdRegisters no_4k{.mmfr0 = std::uint64_t{15} << 28 | std::uint64_t{15} << 24};
  EXPECT_STREQ(missing_for(no_4k, vmsa::regime(12, 48)), "4K pages");
  EXPECT_STREQ(missing_for(no_4k, vmsa::regime(16, 48)), "64K pages");
}

TEST(TranslationControl, TcrByHand) {
  // A72, 4K, 48 bits: T0SZ and T1SZ 16, both halves write-back inner shareable, TG1 4K, IPS 44 bits.
  const vmsa::Regime r = vmsa::regime(12, 48);
  EXPECT_EQ(tcr_el1(cortex_a72, identity_regime(cortex_a72, r), r), 0x4'b510'3510u);
  // 52 bits with LPA2: DS, T1SZ 12, IPS as large as the CPU says, HA.
  constexpr IdRegisters lpa2{.mmfr0 = std::uint64_t{1} << 28 | 6, .mmfr1 = 2};
  const vmsa::Regime wide = vmsa::regime(12, 52);
  EXPECT_EQ(tcr_el1(lpa2, identity_regime(lpa2, wide), wide), 0x800'0086'b50c'3510u);
  // Without LPA2 a 52-bit capable CPU is held to 48 bits of output.
  EXPECT_EQ(tcr_el1(lpa2, identity_regime(lpa2, r), r) >> 32 & 7, 5u);
}

TEST(TranslationControl, FeaturesOfTheProcedures) {
  EXPECT_FALSE(features(cortex_a72).range_tlbi);
  EXPECT_TRUE(features({.isar0 = std::uint64_t{2} << 56}).range_tlbi);
  EXPECT_FALSE(features({.isar0 = std::uint64_t{1} << 56}).range_tlbi);  // FEAT_TLBIOS only
  EXPECT_EQ(features({.mmfr2 = std::uint64_t{2} << 52}).bbm, vmsa::BbmLevel::level2);
  EXPECT_TRUE(features({.mmfr1 = 3}).hardware_table_flag);
}

// --- trees

std::map<std::uint64_t, std::uint64_t> memory;
vmsa::Descriptor read_memory(PhysAddr pa) { return vmsa::Descriptor{memory[pa.value]}; }

/// A root at 0x1000, a table chain to one page, and whatever a test adds.
class KernelTree : public testing::Test {
 protected:
  void SetUp() override {
    memory.clear();
    va = r.base() + 0x5000;
    PhysAddr table(0x1000);
    for (vmsa::Level level = r.root_level(); level < vmsa::page_level; level = level.next()) {
      const PhysAddr below = table + 0x1000;
      memory[vmsa::slot_address(r, table, level, va).value] = vmsa::make_table(r, below).bits;
      table = below;
    }
    slot = vmsa::slot_address(r, table, vmsa::page_level, va);
    memory[slot.value] = vmsa::make_leaf(r, vmsa::page_level, PhysAddr(0x80000000), vmsa::page_kernel).bits;
  }
  TreeSummary sum() {
    return summarize(r, PhysAddr(0x1000), vmsa::layout(r, vmsa::LayoutAge::today).linear, read_memory);
  }

  const vmsa::Regime r = vmsa::regime(12, 48);
  vmsa::VirtAddr va;
  PhysAddr slot;
};

TEST_F(KernelTree, LooksUpLeavesAndHoles) {
  const Lookup leaf = look_up(r, PhysAddr(0x1000), va, read_memory);
  EXPECT_TRUE(leaf.mapped);
  EXPECT_EQ(leaf.level, vmsa::page_level);
  EXPECT_EQ(look_up(r, PhysAddr(0x1000), va + 0x1000, read_memory).level, vmsa::page_level);
  EXPECT_FALSE(look_up(r, PhysAddr(0x1000), va + 0x1000, read_memory).mapped);
  EXPECT_EQ(look_up(r, PhysAddr(0x1000), va + (1 << 21), read_memory).level, vmsa::pmd_level);
}

TEST_F(KernelTree, SummaryCountsAndTellsTreesApart) {
  const TreeSummary a = sum();
  EXPECT_EQ(a.leaf_count, 1u);
  EXPECT_EQ(a.table_count, 4u);
  EXPECT_EQ(a.empty_count, 0u);
  memory[slot.value] ^= vmsa::Descriptor::read_only_bit;
  EXPECT_NE(sum().exact, a.exact);
  EXPECT_NE(sum().shape, a.shape);
  memory[slot.value] = vmsa::make_leaf(r, vmsa::page_level, PhysAddr(0x80001000), vmsa::page_kernel).bits;
  EXPECT_NE(sum().exact, a.exact);
  EXPECT_NE(sum().shape, a.shape);  // in the linear map the address belongs to the shape
}

TEST_F(KernelTree, AnEmptyTableIsCountedAndEntersNoHash) {
  const TreeSummary a = sum();
  memory[vmsa::slot_address(r, PhysAddr(0x3000), vmsa::pmd_level, va + (1 << 21)).value] =
      vmsa::make_table(r, PhysAddr(0x9000)).bits;
  EXPECT_EQ(sum().exact, a.exact);
  EXPECT_EQ(sum().shape, a.shape);
  EXPECT_EQ(sum().table_count, a.table_count);
  EXPECT_EQ(sum().empty_count, 1u);
}

TEST_F(KernelTree, TheSamePageElsewhereIsAnotherTree) {
  const TreeSummary a = sum();
  memory[slot.value + 8] = memory[slot.value];
  memory[slot.value] = 0;
  EXPECT_NE(sum().exact, a.exact);
  EXPECT_NE(sum().shape, a.shape);
}

}  // namespace
}  // namespace shootdown::metal::guest
