// SPDX-License-Identifier: MIT
// Hot-add and hot-remove over real geometries: what they build, what they leave, what they do when memory runs
// out. The order of their TLB maintenance is sequence_test.cpp.
#include <gtest/gtest.h>

#include "tests/mm/kernel_code.hpp"

namespace shootdown::mm {
namespace {

using vmsa::LayoutAge;

constexpr PhysAddr memstart{std::uint64_t{1} << 40};
const RemovePlan today{strategies[3]};  // B

std::string where(const Regime& r) {
  return std::to_string(r.page_shift) + " bits of page, " + std::to_string(r.va_bits) + " of VA";
}
MemoryMap map_of(const Regime& r, LayoutAge age = LayoutAge::today) {
  return {vmsa::layout(r, age), memstart};
}
PhysRange sections(const Regime& r, std::uint64_t first, std::uint64_t count) {
  const PhysAddr start = memstart + first * r.section_size();
  return {start, start + count * r.section_size()};
}
/// Sections far enough in that no table of their vmemmap reaches over the region's edge.
std::uint64_t inner_section(const Regime& r, const MemoryMap& map) {
  const std::uint64_t span = r.span(r.root_level());
  const VirtRange region = map.layout.vmemmap;
  const VirtAddr inside = region.start.align_up(span);
  if (!region.contains(inside) || region.end - inside < span) return 0;  // smaller than one top entry
  return ((inside - region.start) >> r.struct_page_shift << r.page_shift) / r.section_size();
}

RecordingMachine::Tree leaves_of(const Regime& r, RecordingMachine::Tree tree, bool with_addresses) {
  for (auto it = tree.begin(); it != tree.end();) {
    const Level level{it->first.first};
    if (it->second.is_table(level)) {
      it = tree.erase(it);
      continue;
    }
    if (!with_addresses) it->second = vmsa::make_leaf(r, level, {}, vmsa::attributes(r, it->second));
    ++it;
  }
  return tree;
}

// ---- add, remove, add ---------------------------------------------------------------------------------------

TEST(HotPlug, RemoveReturnsTheTreeToWhatItWas) {
  for (const KernelCode& k : real_kernels()) {
    const MemoryMap map = map_of(k.r);
    const PhysRange range = sections(k.r, inner_section(k.r, map), 2);
    for (const Strategy& s : strategies) {
      if (&s != &strategies[0] && &s != &strategies[3] && &s != &strategies[5]) continue;  // P, B, T
      for (const Mapping& mapping : mappings) {
        RecordingMachine m(k.r);
        ASSERT_TRUE(k.add_memory(m, map, range, mapping, {s}));
        const auto added = m.tree();
        EXPECT_GT(added.size(), 2u);
        k.try_remove_memory(m, map, range, {s});
        const bool edge = inner_section(k.r, map) == 0;
        EXPECT_TRUE(edge || m.tree().empty()) << where(k.r) << " " << s.name << " " << mapping.name;
        EXPECT_TRUE(leaves_of(k.r, m.tree(), true).empty());
        EXPECT_EQ(m.vmemmap_pages(), 0u);
        EXPECT_EQ(m.tables(), 1 + m.tree().size());
        EXPECT_TRUE(m.memblock().empty() && m.all_unlocked());
        ASSERT_TRUE(k.add_memory(m, map, range, mapping, {s}));
        EXPECT_TRUE(leaves_of(k.r, m.tree(), false) == leaves_of(k.r, added, false)) << where(k.r);
        EXPECT_TRUE(m.faults.empty()) << where(k.r) << ": " << m.faults.front();
        if (mapping.largest == vmsa::page_level && k.r.page_shift == 12) break;  // the long ones once
      }
    }
  }
}

TEST(HotPlug, TheLinearMapComesBackBitForBit) {
  for (const KernelCode& k : real_kernels()) {
    const MemoryMap map = map_of(k.r);
    const PhysRange range = sections(k.r, 1, 1);
    for (const Mapping& mapping : mappings) {
      RecordingMachine m(k.r);
      ASSERT_TRUE(k.create_linear_map(m, map, range, mapping));
      const auto first = leaves_of(k.r, m.tree(), true);
      k.remove_linear_map(m, map, range, today);
      EXPECT_TRUE(m.tree().empty());
      ASSERT_TRUE(k.create_linear_map(m, map, range, mapping));
      EXPECT_TRUE(leaves_of(k.r, m.tree(), true) == first) << where(k.r) << " " << mapping.name;
    }
  }
}

TEST(HotPlug, EveryStoreIsALeafOrATable) {
  for (const KernelCode& k : real_kernels()) {
    const MemoryMap map = map_of(k.r);
    const PhysRange range = sections(k.r, inner_section(k.r, map), 1);
    RecordingMachine m(k.r);
    ASSERT_TRUE(k.add_memory(m, map, range, mappings[0], today));
    EXPECT_EQ(m.stores, m.tree().size()) << "one a leaf, one a table";
    const std::uint64_t entries = m.tree().size();
    EXPECT_EQ(leaves_of(k.r, m.tree(), true).size(),
              k.r.section_size() / k.r.page_size() +
                  (k.r.vmemmap_uses_blocks() ? 1 : k.r.section_vmemmap_size() / k.r.page_size()));
    m.start_log();
    k.try_remove_memory(m, map, range, today);
    EXPECT_EQ(m.stores, entries - m.tree().size()) << "one a leaf, one a table that goes";
    EXPECT_EQ(m.log.find('w'), std::string::npos) << "hot-remove writes nothing but zeros";
  }
}

TEST(HotPlug, ANeighbourKeepsItsTables) {
  for (const KernelCode& k : real_kernels()) {
    const MemoryMap map = map_of(k.r);
    const std::uint64_t at = inner_section(k.r, map);
    RecordingMachine m(k.r);
    ASSERT_TRUE(k.add_memory(m, map, sections(k.r, at, 1), mappings[0], today));
    const auto alone = m.tree();
    ASSERT_TRUE(k.add_memory(m, map, sections(k.r, at + 1, 1), mappings[0], today));
    k.try_remove_memory(m, map, sections(k.r, at + 1, 1), today);
    EXPECT_TRUE(m.tree() == alone) << where(k.r);
    k.try_remove_memory(m, map, sections(k.r, at, 1), today);
    EXPECT_TRUE(leaves_of(k.r, m.tree(), true).empty());
    EXPECT_TRUE(at == 0 || m.tree().empty()) << "the last user takes the shared tables along";
    EXPECT_TRUE(m.faults.empty());
  }
}

// ---- tables that are kept -------------------------------------------------------------------------------------

/// Tables over the range's vmemmap whose span is not wholly inside the region: those that floor and ceiling keep.
unsigned straddling(const Regime& r, const MemoryMap& map, PhysRange range, std::size_t vmemmap_levels) {
  const VirtRange v = map.vmemmap(r, range);
  unsigned n = 0;
  std::size_t depth = 0;
  for (Level entry = r.root_level(); depth < vmemmap_levels; entry = entry.next(), ++depth) {
    const VirtAddr last = (v.end - 1).align_down(r.span(entry));
    for (VirtAddr va = v.start.align_down(r.span(entry));; va += r.span(entry)) {
      const bool inside =
          va >= map.layout.vmemmap.start && va + r.span(entry) - 1 <= map.layout.vmemmap.end - 1;
      if (!inside) ++n;
      if (va == last) break;
    }
  }
  return n;
}
/// Levels of tables below the root that vmemmap needs.
std::size_t vmemmap_table_levels(const Regime& r) {
  return r.level_count() - 1 - (r.vmemmap_uses_blocks() ? 1 : 0);
}

unsigned retained(const KernelCode& k, const MemoryMap& map, PhysRange range, TableRule rule) {
  RecordingMachine m(k.r);
  const RemovePlan plan{strategies[3], rule};
  EXPECT_TRUE(k.add_memory(m, map, range, mappings[2], plan));
  k.try_remove_memory(m, map, range, plan);
  EXPECT_TRUE(m.faults.empty());
  EXPECT_EQ(m.tables(), 1 + m.tree().size()) << "kept, but linked: no leak";
  return static_cast<unsigned>(m.tree().size());
}

TEST(HotPlug, TablesRetainedInEveryRegimeAndLayout) {
  unsigned v7_keeps = 0;
  for (const KernelCode& k : real_kernels()) {
    for (LayoutAge age : {LayoutAge::today, LayoutAge::old}) {
      if (!vmsa::has_layout(k.r, age)) continue;
      const MemoryMap map = map_of(k.r, age);
      const bool shared = vmsa::vmalloc_shares_top_entry(k.r, map.layout);
      for (std::uint64_t first : {std::uint64_t{0}, inner_section(k.r, map)}) {
        const PhysRange range = sections(k.r, first, 1);
        const std::size_t levels = vmemmap_table_levels(k.r);
        EXPECT_EQ(retained(k, map, range, TableRule::floor_ceiling), straddling(k.r, map, range, levels))
            << where(k.r) << (age == LayoutAge::old ? " old" : " today") << " section " << first;
        EXPECT_EQ(retained(k, map, range, TableRule::v7), shared ? levels : 0) << where(k.r);
        EXPECT_EQ(retained(k, map, range, TableRule::any), 0u) << where(k.r);
      }
      v7_keeps += shared ? 1 : 0;
    }
  }
  EXPECT_EQ(v7_keeps, 7u + 2u);
}

TEST(HotPlug, TheFirst64GiBOf4k48ShareOneTableWithVmalloc) {
  const auto kernels = real_kernels();
  const KernelCode& k = kernels[1];
  ASSERT_EQ(k.r, vmsa::regime(12, 48));
  const std::uint64_t in_64_gib = (std::uint64_t{64} << 30) / k.r.section_size();
  EXPECT_EQ(retained(k, map_of(k.r), sections(k.r, 0, 1), TableRule::floor_ceiling), 1u);
  EXPECT_EQ(retained(k, map_of(k.r), sections(k.r, in_64_gib - 1, 1), TableRule::floor_ceiling), 1u);
  EXPECT_EQ(retained(k, map_of(k.r), sections(k.r, in_64_gib, 1), TableRule::floor_ceiling), 0u);
}

TEST(HotPlug, AVmallocNeighbourIsLeftAlone) {
  for (const KernelCode& k : real_kernels()) {
    const MemoryMap map = map_of(k.r);
    const VirtAddr va = (map.layout.vmalloc_end - 1).align_down(k.r.page_size());
    const PhysRange range = sections(k.r, 0, 1);
    for (TableRule rule : {TableRule::floor_ceiling, TableRule::v7}) {
      RecordingMachine m(k.r);
      ASSERT_TRUE(k.vmap_page(m, va, PhysAddr(0x1000'0000)));
      const auto before = m.tree();
      ASSERT_TRUE(k.add_memory(m, map, range, mappings[2], {strategies[3], rule}));
      k.try_remove_memory(m, map, range, {strategies[3], rule});
      for (const auto& [place, d] : before) EXPECT_EQ(m.tree()[place], d) << where(k.r);
      k.vunmap_page(m, va);
      EXPECT_FALSE(m.leaf_at(va));
      EXPECT_TRUE(m.faults.empty());
    }
  }
}

// ---- vmemmap falls back, hot-add fails ------------------------------------------------------------------------

TEST(HotPlug, VmemmapFallsBackToPages) {
  for (const KernelCode& k : real_kernels()) {
    const MemoryMap map = map_of(k.r);
    const PhysRange range = sections(k.r, 0, 2);
    RecordingMachine m(k.r);
    m.no_blocks = true;
    ASSERT_TRUE(k.add_memory(m, map, range, mappings[2], today));
    EXPECT_EQ(m.vmemmap_pages(), 2 * k.r.section_vmemmap_size() / k.r.page_size());
    const VirtRange v = map.vmemmap(k.r, range);
    for (VirtAddr va = v.start; va != v.end; va += k.r.page_size()) {
      const auto leaf = m.leaf_at(va);
      ASSERT_TRUE(leaf);
      EXPECT_EQ(leaf->first, vmsa::page_level);
      EXPECT_FALSE(leaf->second.contiguous()) << "vmemmap is never contiguous";
    }
    k.try_remove_memory(m, map, range, today);
    EXPECT_EQ(m.vmemmap_pages(), 0u);
    EXPECT_TRUE(m.faults.empty());
  }
}

TEST(HotPlug, OneBlockThatCannotBeHadFallsBackAlone) {
  const KernelCode& k = real_kernels()[1];
  const MemoryMap map = map_of(k.r);
  const PhysRange range = sections(k.r, 0, 2);
  RecordingMachine counting(k.r);
  ASSERT_TRUE(k.create_linear_map(counting, map, range, mappings[2]));
  const int linear_tables = static_cast<int>(counting.tables()) - 1;
  RecordingMachine m(k.r);
  m.fail_at = linear_tables + 2;  // two upper tables of vmemmap, then the first block
  ASSERT_TRUE(k.add_memory(m, map, range, mappings[2], today));
  const VirtRange v = map.vmemmap(k.r, range);
  EXPECT_EQ(m.leaf_at(v.start)->first, vmsa::page_level);
  EXPECT_EQ(m.leaf_at(v.start + k.r.section_vmemmap_size())->first, vmsa::pmd_level);
  k.try_remove_memory(m, map, range, today);
  EXPECT_EQ(m.vmemmap_pages(), 0u);
}

TEST(HotPlug, HotAddThatFailsAnywhereUndoesItself) {
  for (const KernelCode& k : small_section_kernels()) {
    const MemoryMap map = map_of(k.r);
    const PhysRange range = sections(k.r, (std::uint64_t{64} << 30) / k.r.section_size(), 2);
    for (const Strategy& s : {strategies[0], strategies[3], strategies[4], strategies[5]}) {
      for (const auto& [keeps_failing, carve] :
           {std::pair(false, false), std::pair(true, false), std::pair(true, true)}) {
        if (carve && !k.r.vmemmap_uses_blocks()) continue;
        unsigned failures = 0;
        for (int at = 0;; ++at) {
          RecordingMachine m(k.r);
          ASSERT_TRUE(k.add_memory(m, map, sections(k.r, 0, 1), mappings[0], {s}));
          const auto before = m.tree();
          const auto pages = m.vmemmap_pages();
          m.fail_at = at;
          m.keeps_failing = keeps_failing;
          const bool added = k.add_memory(m, map, range, mappings[0], {s, TableRule::floor_ceiling, carve});
          const bool met = m.fail_at == -1 || m.fail_at == 0;
          EXPECT_TRUE(m.faults.empty()) << m.faults.front();
          EXPECT_TRUE(m.all_unlocked());
          EXPECT_EQ(m.tables(), 1 + m.tree().size() - leaves_of(k.r, m.tree(), true).size());
          if (!met) break;      // fewer allocations than that: it was never refused
          if (added) continue;  // a block fell back to pages
          ++failures;
          EXPECT_TRUE(m.tree() == before) << where(k.r) << " " << s.name << ", allocation " << at;
          EXPECT_EQ(m.vmemmap_pages(), pages);
          EXPECT_EQ(m.memblock().size(), 1u);
        }
        EXPECT_GT(failures, 2u) << "every table and page was refused once";
      }
    }
  }
}

// ---- memmap_on_memory, and what is a part of a leaf -------------------------------------------------------------

TEST(HotPlug, StructPagesComeFromTheBlockThatTheyDescribe) {
  for (const KernelCode& k : real_kernels()) {
    const MemoryMap map = map_of(k.r);
    const PhysRange range = sections(k.r, inner_section(k.r, map), 2);
    const RemovePlan carve{strategies[3], TableRule::floor_ceiling, true};
    RecordingMachine m(k.r);
    ASSERT_TRUE(k.add_memory(m, map, range, mappings[2], carve));
    EXPECT_EQ(m.vmemmap_pages(), 0u) << "none from the allocator";
    for (PhysAddr block = range.start; block != range.end; block += k.r.section_size()) {
      const VirtRange v = map.vmemmap(k.r, {block, block + k.r.section_size()});
      for (VirtAddr va = v.start; va != v.end;) {
        const auto leaf = m.leaf_at(va);
        ASSERT_TRUE(leaf) << where(k.r);
        ASSERT_EQ(vmsa::output_address(k.r, leaf->first, leaf->second), block + (va - v.start)) << where(k.r);
        va += k.r.span(leaf->first);
      }
    }
    k.try_remove_memory(m, map, range, carve);
    EXPECT_TRUE(leaves_of(k.r, m.tree(), true).empty()) << where(k.r);
    EXPECT_TRUE(m.faults.empty()) << where(k.r) << ": " << m.faults.front();
  }
}

/// A section of memory that was added as one: it is a part of a level 1 block with 4K pages, of a contiguous group
/// of level 2 blocks elsewhere.
TEST(HotPlug, APartOfALeafIsNotRemoved) {
  for (const KernelCode& k : real_kernels()) {
    const MemoryMap map = map_of(k.r);
    const bool level1 = k.r.has_block(vmsa::pud_level);
    const Mapping& mapping = level1 ? mappings[2] : mappings[3];
    const std::uint64_t leaf = level1 ? k.r.span(vmsa::pud_level) : k.r.contiguous_span(vmsa::pmd_level);
    const std::uint64_t count = leaf / k.r.section_size();
    ASSERT_GT(count, 1u);
    RecordingMachine m(k.r);
    ASSERT_TRUE(k.add_memory(m, map, sections(k.r, count, count), mapping, today));
    const auto before = m.tree();
    for (std::uint64_t at : {count, count + 1, 2 * count - 1}) {
      EXPECT_FALSE(k.offline_and_remove_memory(m, map, sections(k.r, at, 1), today)) << where(k.r);
      EXPECT_FALSE(at + 1 < 2 * count && k.offline_and_remove_memory(m, map, sections(k.r, at, 2), today));
    }
    EXPECT_TRUE(m.tree() == before && m.faults.empty() && m.all_unlocked()) << where(k.r);
    EXPECT_TRUE(k.offline_and_remove_memory(m, map, sections(k.r, count, count), today)) << where(k.r);
    EXPECT_TRUE(leaves_of(k.r, m.tree(), true).empty());
    EXPECT_TRUE(m.faults.empty());
  }
}

TEST(HotPlug, WhoeverDidNotAskIsWarned) {
  const KernelCode& k = real_kernels()[1];
  const MemoryMap map = map_of(k.r);
  RecordingMachine m(k.r);
  ASSERT_TRUE(k.add_memory(m, map, sections(k.r, 8, 8), mappings[2], today));
  k.try_remove_memory(m, map, sections(k.r, 9, 1), today);
  ASSERT_FALSE(m.faults.empty());
  EXPECT_EQ(m.faults.front(), "a block is unmapped of which a part stays in use");
}

/// ZONE_DEVICE adds sub-sections: their struct pages have base pages, which one sub-section's removal cannot take from
/// another (d4234d131b0a).
TEST(HotPlug, ASubsectionHasBasePages) {
  for (const KernelCode& k : real_kernels()) {
    const MemoryMap map = map_of(k.r);
    const std::uint64_t half = k.r.section_size() / 2;
    const PhysAddr start = sections(k.r, inner_section(k.r, map), 1).start;
    const PhysRange first{start, start + half}, second{start + half, start + 2 * half};
    RecordingMachine m(k.r);
    ASSERT_TRUE(k.add_memory(m, map, first, mappings[0], today));
    ASSERT_TRUE(k.add_memory(m, map, second, mappings[0], today));
    EXPECT_EQ(m.vmemmap_pages(), k.r.section_vmemmap_size() / k.r.page_size());
    ASSERT_TRUE(k.offline_and_remove_memory(m, map, first, today)) << where(k.r);
    EXPECT_FALSE(m.leaf_at(map.vmemmap(k.r, first).start));
    EXPECT_TRUE(m.leaf_at(map.vmemmap(k.r, second).start)) << "the other is in use";
    k.try_remove_memory(m, map, second, today);
    EXPECT_EQ(m.vmemmap_pages(), 0u);
    EXPECT_TRUE(m.faults.empty()) << where(k.r) << ": " << m.faults.front();
  }
}

// ---- what is mapped by what -----------------------------------------------------------------------------------

struct Span {
  std::uint64_t start, pages;
};

TEST(HotPlug, UnalignedRangesTakeTheLargestLeavesThatFit) {
  for (const KernelCode& k : real_kernels()) {
    const MemoryMap map = map_of(k.r);
    const std::uint64_t block = k.r.span(vmsa::pmd_level) / k.r.page_size();
    for (const Span& s : {Span{1, 3}, Span{block - 1, 2}, Span{block - 3, block + 7}, Span{0, 2 * block},
                          Span{5, 3 * block}, Span{block / 2, block}}) {
      for (const Mapping& mapping : mappings) {
        RecordingMachine m(k.r);
        const PhysAddr start = memstart + s.start * k.r.page_size();
        const PhysRange range{start, start + s.pages * k.r.page_size()};
        const VirtRange linear = map.linear(range);
        ASSERT_TRUE(k.create_linear_map(m, map, range, mapping));
        for (VirtAddr va = linear.start; va != linear.end;) {
          const auto leaf = m.leaf_at(va);
          ASSERT_TRUE(leaf) << where(k.r);
          const auto [level, d] = *leaf;
          ASSERT_EQ(vmsa::output_address(k.r, level, d), range.start + (va - linear.start));
          const auto fits = [&](std::uint64_t size, VirtAddr at) {
            return at.is_aligned(size) && at >= linear.start && size <= linear.end - at;
          };
          Level expected = vmsa::page_level;
          for (Level l = mapping.largest; l < vmsa::page_level; l = l.next())
            if (k.r.has_block(l) && fits(k.r.span(l), va)) {
              expected = l;
              break;
            }
          EXPECT_EQ(level, expected) << where(k.r) << " " << mapping.name;
          const std::uint64_t group = k.r.contiguous_span(level);
          EXPECT_EQ(d.contiguous(),
                    mapping.contiguous && level >= vmsa::pmd_level && fits(group, va.align_down(group)))
              << where(k.r) << " " << mapping.name << " page " << (va - linear.start) / k.r.page_size();
          va += k.r.span(level);
        }
        EXPECT_FALSE(m.leaf_at(linear.start - k.r.page_size()));
        EXPECT_FALSE(m.leaf_at(linear.end));
        EXPECT_TRUE(m.faults.empty());
        k.remove_linear_map(m, map, range, today);
        EXPECT_TRUE(m.tree().empty()) << where(k.r) << " " << mapping.name;
      }
    }
  }
}

TEST(HotPlug, PhysicalAddressesOutOfStepForbidBlocksAndGroups) {
  for (const KernelCode& k : real_kernels()) {
    MemoryMap map = map_of(k.r);
    map.memstart = memstart + k.r.page_size();  // VA and PA differ by a page
    const PhysRange range{map.memstart, map.memstart + 2 * k.r.span(vmsa::pmd_level)};
    RecordingMachine m(k.r);
    ASSERT_TRUE(k.create_linear_map(m, map, range, mappings[3]));
    for (const auto& [place, d] : leaves_of(k.r, m.tree(), true)) {
      EXPECT_EQ(place.first, 3);
      EXPECT_FALSE(d.contiguous());
    }
  }
}

TEST(HotPlug, NothingValidIsEverOverwritten) {
  const KernelCode& k = real_kernels()[0];
  const MemoryMap map = map_of(k.r);
  RecordingMachine m(k.r);
  ASSERT_TRUE(k.create_linear_map(m, map, sections(k.r, 0, 1), mappings[2]));
  EXPECT_FALSE(k.create_linear_map(m, map, sections(k.r, 0, 1), mappings[0])) << "pages where blocks are";
  ASSERT_FALSE(m.faults.empty());
  EXPECT_EQ(m.faults.front(), "a leaf is already mapped where a table is needed");
}

}  // namespace
}  // namespace shootdown::mm
