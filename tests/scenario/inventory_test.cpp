// SPDX-License-Identifier: MIT
// Each world of hot-remove holds what its extent promises, in every regime and layout: counted in the tables.
#include "scenario/inventory.hpp"

#include <gtest/gtest.h>

namespace shootdown::scenario {
namespace {

template <typename Body>
void for_each_world(Extent extent, Body&& body) {
  for (const vmsa::Regime& real : vmsa::regimes)
    for (vmsa::LayoutAge age : {vmsa::LayoutAge::today, vmsa::LayoutAge::old})
      for (Path path : {Path::linear, Path::vmemmap})
        for (const mm::Mapping& mapping : mm::mappings)
          for (VmemmapKind kind : {VmemmapKind::block, VmemmapKind::pages}) {
            HotRemoveConfig c;
            c.extent = extent;
            c.real = real;
            c.layout = age;
            c.path = path;
            c.mapping = mapping;
            c.vmemmap = kind;
            if (path == Path::vmemmap && &mapping != &mm::mappings[0]) continue;
            if (refuse(c)) continue;
            SCOPED_TRACE(std::to_string(real.page_shift) + "/" + std::to_string(real.va_bits) + " " +
                         name(age) + " " + name(path) + " " + mapping.name + " " + name(kind));
            body(c, inventory(c));
          }
}

bool by_pages(const HotRemoveConfig& c) {
  return c.path == Path::linear ? c.mapping.largest == vmsa::page_level : c.vmemmap == VmemmapKind::pages;
}
unsigned leaves_at(const Inventory& all, vmsa::Level level) {
  unsigned n = 0;
  for (const auto& leaves : all.leaves) n += leaves.level == level ? leaves.count : 0;
  return n;
}

TEST(Inventory, AcrossTablesThereIsAFirstAWholeAndALast) {
  unsigned worlds = 0;
  for_each_world(Extent::across, [&](const HotRemoveConfig& c, const Inventory& all) {
    ++worlds;
    // A level 1 block lies in an upper table, and with two levels every block in the root: those are everybody's.
    const bool upper = c.path == Path::linear && c.mapping.largest < vmsa::page_level &&
                       (c.real.level_count() == 2 ||
                        (c.mapping.largest == vmsa::pud_level && c.real.has_block(vmsa::pud_level)));
    EXPECT_EQ(all.tables_shared, upper ? 1u : 0u);
    EXPECT_EQ(all.leftovers, 3u);
    ASSERT_TRUE(all.range_tlbi.has_value());
    if (by_pages(c)) {
      EXPECT_EQ(all.tables_whole, 1u);
      EXPECT_EQ(all.tables_in_part, 2u);
      EXPECT_EQ(leaves_at(all, vmsa::page_level), 6u);
    }
    if (c.path == Path::linear && c.mapping.contiguous) {
      EXPECT_EQ(all.group_members, 4u);
    }
    if (c.path == Path::linear && c.mapping.largest < vmsa::page_level) {
      // Leaves of every level that blocks have; where there is but one, a whole table of them.
      const bool level1 = c.mapping.largest == vmsa::pud_level && c.real.has_block(vmsa::pud_level);
      EXPECT_EQ(leaves_at(all, vmsa::pud_level), level1 ? 1u : 0u);
      EXPECT_GE(leaves_at(all, vmsa::pmd_level), level1 ? 2u : 4u);
    }
    if (c.path == Path::vmemmap && c.vmemmap == VmemmapKind::block) {
      EXPECT_EQ(leaves_at(all, vmsa::pmd_level), 3u);
    }
  });
  EXPECT_GT(worlds, 100u);
}

TEST(Inventory, InsideOfATableANeighbourSharesIt) {
  for_each_world(Extent::inside, [&](const HotRemoveConfig&, const Inventory& all) {
    EXPECT_EQ(all.tables_whole + all.tables_in_part, 0u);
    EXPECT_EQ(all.tables_shared, 1u);
    ASSERT_EQ(all.leaves.size(), 1u);
    EXPECT_EQ(all.leaves[0].count, 3u) << "first, between and last";
  });
}

TEST(Inventory, ALongRangeIsTheLargestThatAnOperandSays) {
  unsigned worlds = 0;
  for_each_world(Extent::long_range, [&](const HotRemoveConfig& c, const Inventory& all) {
    ++worlds;
    EXPECT_EQ(c.real, vmsa::regime(12, 48));
    EXPECT_EQ(leaves_at(all, vmsa::pud_level), 8u);
    ASSERT_TRUE(all.range_tlbi.has_value());
    EXPECT_EQ(all.range_tlbi->pages, vmsa::max_range_pages);
    EXPECT_EQ(all.range_tlbi->num, 31u);
  });
  EXPECT_GT(worlds, 0u);
}

}  // namespace
}  // namespace shootdown::scenario
