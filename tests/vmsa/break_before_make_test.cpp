// SPDX-License-Identifier: MIT
// Strategy: R_WHZWS written down a second time, over named properties instead of bits and as the *set* of broken
// rules instead of the first one, and compared over every pair of leaves that the properties can make.
#include "vmsa/break_before_make.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tests/vmsa/show.hpp"

namespace shootdown::vmsa {
namespace {

enum class Memory { normal, tagged, non_cacheable, device };  // in the order of linux_mair
enum class Access { read_write, read_only, writable_clean };

struct Leaf {
  Memory memory = Memory::normal;
  Access access = Access::read_write;
  bool outer_shareable = false, non_global = false, contiguous = false, elsewhere = false, old = false;
};

std::vector<Leaf> all_leaves() {
  std::vector<Leaf> all;
  for (Memory memory : {Memory::normal, Memory::tagged, Memory::non_cacheable, Memory::device})
    for (Access access : {Access::read_write, Access::read_only, Access::writable_clean})
      for (unsigned n = 0; n < 32; ++n)
        all.push_back(
            {memory, access, (n & 1) != 0, (n & 2) != 0, (n & 4) != 0, (n & 8) != 0, (n & 16) != 0});
  return all;
}

Descriptor make(const Regime& r, Level level, const Leaf& leaf) {
  Attributes a;
  a.memory_index = static_cast<unsigned>(leaf.memory);
  a.read_only = leaf.access != Access::read_write;
  a.dbm = leaf.access == Access::writable_clean;
  a.shareability = leaf.outer_shareable ? Shareability::outer : Shareability::inner;
  a.not_global = leaf.non_global;
  a.contiguous = leaf.contiguous;
  a.accessed = !leaf.old;
  return make_leaf(r, level, PhysAddr(leaf.elsewhere ? 2 * r.span(level) : r.span(level)), a);
}

/// Every rule that replacing one leaf by another in place breaks.
std::set<Conflict> broken_rules(const Regime& r, const Leaf& from, const Leaf& to, bool same_contents,
                                bool may_abort, BbmLevel bbm) {
  std::set<Conflict> broken;
  const std::set<Memory> types{from.memory, to.memory};
  const bool only_tagging_differs = types == std::set{Memory::normal, Memory::tagged};
  if (types.size() == 2 && !only_tagging_differs) broken.insert(Conflict::memory_type);
  if (from.outer_shareable != to.outer_shareable && !r.lpa2) broken.insert(Conflict::memory_type);

  if (from.elsewhere != to.elsewhere) {
    const bool both_read_only = from.access == Access::read_only && to.access == Access::read_only;
    if (!both_read_only || !same_contents) broken.insert(Conflict::output_address);
  }
  if (from.contiguous != to.contiguous) {
    const bool in_place = bbm == BbmLevel::level2_no_abort || (bbm != BbmLevel::level0 && may_abort);
    if (!in_place) broken.insert(Conflict::block_size);
  }
  if (from.non_global && !to.non_global) broken.insert(Conflict::global);
  return broken;
}

constexpr BbmLevel bbm_levels[] = {BbmLevel::level0, BbmLevel::level1, BbmLevel::level2,
                                   BbmLevel::level2_no_abort};

void compare_all_pairs(const Regime& r, Level level, std::size_t step) {
  const std::vector<Leaf> leaves = all_leaves();
  for (std::size_t i = 0; i < leaves.size(); i += step)
    for (std::size_t j = 0; j < leaves.size(); ++j) {
      Replacement c{.level = level, .from = make(r, level, leaves[i]), .to = make(r, level, leaves[j])};
      for (unsigned n = 0; n < 16; ++n) {
        c.same_contents = (n & 1) != 0;
        c.may_abort = (n & 2) != 0;
        const BbmLevel bbm = bbm_levels[n >> 2];
        const auto broken = broken_rules(r, leaves[i], leaves[j], c.same_contents, c.may_abort, bbm);
        const Conflict got = break_before_make_conflict(r, c, bbm);
        const Conflict first = broken.empty() ? Conflict::none : *broken.begin();
        if (got != first)
          FAIL() << show(r) << " level " << level.value << ": " << std::hex << c.from.bits << " -> "
                 << c.to.bits << " contents " << c.same_contents << " abort " << c.may_abort << " level "
                 << (n >> 2);
      }
    }
}

TEST(BreakBeforeMake, EveryPairOfPages) { compare_all_pairs(regime(12, 48), page_level, 1); }

TEST(BreakBeforeMake, EveryLevelOfEveryRegime) {
  for (const Regime& r : regimes)
    for (Level level = r.root_level(); level <= page_level; level = level.next())
      if (level == page_level || r.accepts_block(level)) compare_all_pairs(r, level, 17);
}

TEST(BreakBeforeMake, InvalidOnEitherSideIsAlwaysAllowed) {
  const Regime r = regime(12, 48);
  const Descriptor page = make_leaf(r, page_level, PhysAddr(0x1000), page_kernel);
  const Descriptor swapped_out{page.bits & ~Descriptor::valid_bit};
  const Descriptor reserved{page.bits & ~Descriptor::table_bit};  // faults at level 3, and so is never cached
  for (Descriptor nothing : {Descriptor{}, swapped_out, reserved})
    for (BbmLevel bbm : bbm_levels) {
      EXPECT_EQ(break_before_make_conflict(r, {page_level, nothing, page}, bbm), Conflict::none);
      EXPECT_EQ(break_before_make_conflict(r, {page_level, page, nothing}, bbm), Conflict::none);
    }
}

TEST(BreakBeforeMake, TableAgainstBlockIsASizeChange) {
  for (const Regime& r : regimes) {
    const Descriptor block = make_leaf(r, pmd_level, PhysAddr(r.span(pmd_level)), page_kernel);
    const Descriptor table = make_table(r, PhysAddr(r.page_size()));
    for (bool may_abort : {false, true})
      for (BbmLevel bbm : bbm_levels) {
        const bool allowed = bbm == BbmLevel::level2_no_abort || (bbm == BbmLevel::level2 && may_abort);
        const Conflict want = allowed ? Conflict::none : Conflict::block_size;
        EXPECT_EQ(break_before_make_conflict(r, {pmd_level, block, table, true, may_abort}, bbm), want)
            << show(r);
        EXPECT_EQ(break_before_make_conflict(r, {pmd_level, table, block, true, may_abort}, bbm), want)
            << show(r);
      }
  }
}

TEST(BreakBeforeMake, TableAgainstTable) {
  const Regime r = regime(16, 52);
  const Descriptor a = make_table(r, PhysAddr(0x8'0000'0001'0000));
  const Descriptor b = make_table(r, PhysAddr(0x0'0000'0001'0000));  // differs in OA[51:48] only
  const Descriptor accessed{a.bits | Descriptor::accessed_bit};      // FEAT_HAFT
  for (BbmLevel bbm : bbm_levels) {
    EXPECT_EQ(break_before_make_conflict(r, {pmd_level, a, b}, bbm), Conflict::output_address);
    EXPECT_EQ(break_before_make_conflict(r, {pmd_level, a, accessed}, bbm), Conflict::none);
    EXPECT_EQ(break_before_make_conflict(r, {pmd_level, a, a}, bbm), Conflict::none);
  }
}

/// No level of FEAT_BBM permits another output address (R_PVTFW).
TEST(BreakBeforeMake, TheNamedCasesOfTheRules) {
  const Regime r = regime(12, 48);
  auto conflict = [&](Leaf from, Leaf to, bool same_contents, BbmLevel bbm) {
    const Replacement c{page_level, make(r, page_level, from), make(r, page_level, to), same_contents, true};
    return break_before_make_conflict(r, c, bbm);
  };
  const Leaf rw{}, ro{.access = Access::read_only}, moved_ro{.access = Access::read_only, .elsewhere = true},
      moved_rw{.elsewhere = true}, clean{.access = Access::writable_clean, .elsewhere = true};
  for (BbmLevel bbm : bbm_levels) {
    EXPECT_EQ(conflict(rw, ro, false, bbm), Conflict::none) << "permissions are exempt";
    EXPECT_EQ(conflict(ro, rw, false, bbm), Conflict::none);
    EXPECT_EQ(conflict(ro, moved_ro, true, bbm), Conflict::none) << "read-only and equal contents";
    EXPECT_EQ(conflict(ro, moved_ro, false, bbm), Conflict::output_address);
    EXPECT_EQ(conflict(ro, moved_rw, true, bbm), Conflict::output_address);
    EXPECT_EQ(conflict(ro, clean, true, bbm), Conflict::output_address) << "DBM counts as writable";
    EXPECT_EQ(conflict(Leaf{.non_global = true}, rw, true, bbm), Conflict::global);
    EXPECT_EQ(conflict(rw, Leaf{.non_global = true}, true, bbm), Conflict::none);
  }
}

TEST(BreakBeforeMake, MemoryTypesAreComparedByAttribute) {
  const Regime r = regime(12, 48);
  auto conflict = [&](unsigned from, unsigned to, std::uint64_t mair) {
    Attributes a, b;
    a.memory_index = from;
    b.memory_index = to;
    const PhysAddr pa(0x1000);
    return break_before_make_conflict(r,
                                      {.level = page_level,
                                       .from = make_leaf(r, page_level, pa, a),
                                       .to = make_leaf(r, page_level, pa, b),
                                       .mair = mair},
                                      BbmLevel::level0);
  };
  EXPECT_EQ(conflict(0, 1, linux_mair), Conflict::none);
  EXPECT_EQ(conflict(0, 2, linux_mair), Conflict::memory_type);
  EXPECT_EQ(conflict(3, 4, linux_mair), Conflict::memory_type) << "Device-nGnRnE against Device-nGnRE";
  EXPECT_EQ(conflict(2, 7, 0x44ull << 56 | 0x44 << 16), Conflict::none) << "two indices of one attribute";
}

}  // namespace
}  // namespace shootdown::vmsa
