// SPDX-License-Identifier: MIT
// What is a harm and what is none: releases, unlinked tables, break-before-make, walks out of the shadow.
#include <gtest/gtest.h>

#include "tests/shadow/fake_tables.hpp"

namespace shootdown::shadow {
namespace {

using machine::Dsb;
using vmsa::BbmLevel;
using vmsa::Conflict;
using vmsa::page_level;
using vmsa::pmd_level;
using vmsa::pud_level;

class Judgement : public testing::Test {
 protected:
  FakeTables t;
  const VirtAddr va = t.r.base() + 0x4000'0000;  // aligned to a level 1 block
  const std::uint64_t page_size = t.r.page_size();

  std::vector<Reach> reached(unsigned cpu, VirtAddr at) { return reach(t.shadow, t.memory, cpu, at); }
  /// Where accesses may end, faults aside.
  std::set<PhysAddr> pages(unsigned cpu, VirtAddr at) {
    std::set<PhysAddr> all;
    for (const Reach& x : reached(cpu, at))
      if (x.walk.fault == vmsa::Fault::none) all.insert(x.walk.pa);
    return all;
  }
};

// ---- release ------------------------------------------------------------------------------------------------

TEST_F(Judgement, AStaleEntryThatTheTablesDeriveAgainIsNone) {
  t.map(va, some_page);
  const PhysAddr table = t.table_below(va, pmd_level);
  t.clear(va, pmd_level);
  EXPECT_EQ(t.release(some_page), Harm::stale_page);
  EXPECT_EQ(t.release(table), Harm::stale_table);
  t.store(t.slot(va, pmd_level), vmsa::make_table(t.r, table));  // linked again
  EXPECT_TRUE(t.shadow.empty());
  EXPECT_EQ(t.release(table), Harm::none);
}

TEST_F(Judgement, ALiveAliasAtAnotherAddressIsNoExcuse) {
  t.map(va, some_page);
  t.map(va + page_size, some_page);
  t.clear(va);
  EXPECT_EQ(t.release(some_page), Harm::stale_page);
}

TEST_F(Judgement, TheSameTranslationOutOfAnotherTableIsAnExcuse) {
  t.map(va, some_page);
  t.clear(va, pmd_level);
  t.flush(0, t.op(vmsa::vaae1is, va + page_size));  // the table entry alone: the leaf stays
  t.map(va, some_page);                             // the same, in a new table
  EXPECT_EQ(t.holders(va), all_cpus);
  EXPECT_EQ(t.release(some_page), Harm::none);
  t.clear(va);
  EXPECT_EQ(t.release(some_page), Harm::stale_page);
}

TEST_F(Judgement, AnyPartOfAStaleBlockCounts) {
  t.map(va, some_page, vmsa::page_kernel, pmd_level);
  t.clear(va, pmd_level);
  const auto f = check_release(t.shadow, t.memory, {some_page + 5 * page_size, some_page + 6 * page_size});
  ASSERT_TRUE(f);
  EXPECT_EQ(f->harm, Harm::stale_page);
  EXPECT_EQ(f->va, va + 5 * page_size);
  EXPECT_EQ(f->page, some_page + 5 * page_size);
  EXPECT_EQ(t.release(some_page + t.r.span(pmd_level)), Harm::none);
  EXPECT_EQ(t.release(some_page - page_size), Harm::none);
}

TEST_F(Judgement, ABlockSplitInPlaceIsStaleWhereThePagesDiffer) {  // R_FCPSG, RULES 16
  t.bbm = BbmLevel::level2_no_abort;
  t.map(va, some_page, vmsa::page_kernel, pmd_level);
  const PhysAddr table = t.page();
  for (unsigned i = 0; i < 512; ++i)
    t.memory.write(table + i * sizeof(Descriptor), t.leaf(some_page + i * page_size));
  t.store(t.slot(va, pmd_level), vmsa::make_table(t.r, table));
  EXPECT_EQ(t.conflicts(), Conflict::none);
  EXPECT_EQ(t.holders(va, pmd_level), all_cpus) << "by design: nothing is flushed";
  EXPECT_EQ(t.release(some_page, t.r.span(pmd_level)), Harm::none);
  t.clear(va + 3 * page_size);
  vmsa::Tlbi op = t.op(vmsa::vaale1is, va + 3 * page_size);
  op.ttl = page_level;
  t.flush(0, op);  // names the new level only
  EXPECT_EQ(t.release(some_page + 2 * page_size), Harm::none);
  EXPECT_EQ(t.release(some_page + 3 * page_size), Harm::stale_page);
  op.ttl.reset();
  t.flush(0, op);
  EXPECT_TRUE(t.shadow.empty());
}

TEST_F(Judgement, ATablePageBelowAStaleTableIsReached) {
  t.map(va, some_page);
  const PhysAddr pmd = t.table_below(va, pud_level), pte = t.table_below(va, pmd_level);
  t.clear(va, pud_level);
  for (PhysAddr table : {pmd, pte}) EXPECT_EQ(t.release(table), Harm::stale_table);
  t.flush(0, t.op(vmsa::vaae1is, va + t.r.span(pmd_level)));  // the upper entry only
  EXPECT_EQ(t.release(pmd), Harm::none);
  EXPECT_EQ(t.release(pte), Harm::stale_table);
  EXPECT_EQ(t.release(some_page), Harm::stale_page);
}

// ---- unlinked tables ----------------------------------------------------------------------------------------

TEST_F(Judgement, StoresIntoAnUnlinkedTableAreWalked) {
  t.map(va, some_page);
  const PhysAddr table = t.table_below(va, pmd_level);
  t.clear(va);
  t.flush(0, t.op(vmsa::vaale1is, va));
  t.clear(va, pmd_level);
  t.store(table + 2 * sizeof(Descriptor), t.leaf(other_page));  // its new owner's data
  EXPECT_EQ(t.release(other_page), Harm::stale_page) << "valid at no moment, and reachable";
  t.store(table + 2 * sizeof(Descriptor), Descriptor{});
  EXPECT_EQ(t.release(other_page), Harm::stale_page) << "and may have been cached";
  t.flush(0, t.op(vmsa::vaae1is, va));
  EXPECT_EQ(t.holders(va + 2 * page_size), all_cpus) << "the entry stays where its address was not named";
  t.flush(0, t.op(vmsa::vmalle1is));
  EXPECT_TRUE(t.shadow.empty());
  t.store(table + 2 * sizeof(Descriptor), t.leaf(other_page));
  EXPECT_TRUE(t.shadow.empty()) << "no more after its invalidation";
}

TEST_F(Judgement, StoresOfTablesIntoAnUnlinkedTableLeadOn) {
  t.map(va, some_page);
  const PhysAddr pmd = t.table_below(va, pud_level);
  t.clear(va, pud_level);
  const PhysAddr foreign = t.page();
  t.memory.write(foreign, t.leaf(other_page));
  t.store(pmd + 8, vmsa::make_table(t.r, foreign));
  EXPECT_EQ(t.release(foreign), Harm::stale_table);
  EXPECT_EQ(t.release(other_page), Harm::stale_page);
}

TEST_F(Judgement, OnlyThoseWhoStillHoldTheTableWalkIt) {
  t.map(va, some_page);
  const PhysAddr table = t.table_below(va, pmd_level);
  t.clear(va, pmd_level);
  vmsa::TlbiOp local = vmsa::vmalle1is;
  local.broadcast = false;
  t.flush(1, t.op(local));
  t.store(table + 8, t.leaf(other_page));
  EXPECT_EQ(t.holders(va + page_size), all_cpus - CpuSet::one(1));
}

// ---- break-before-make --------------------------------------------------------------------------------------

TEST_F(Judgement, AnotherOutputAddress) {  // R_WHZWS
  t.map(va, some_page);
  t.map(va, other_page);
  EXPECT_EQ(t.conflicts(), Conflict::output_address);
}

TEST_F(Judgement, PermissionsAloneAreExempt) {
  t.map(va, some_page);
  t.map(va, some_page, {.read_only = true});
  EXPECT_EQ(t.conflicts(), Conflict::none);
  EXPECT_EQ(t.holders(va), all_cpus) << "the old permission is held all the same";
}

struct Step {
  const char* what;
  bool tlbi, dsb, safe;
};

TEST_F(Judgement, TheBreakIsCompleteAfterTheDsb) {  // R_DDMVT
  for (const Step& s : {Step{"no TLBI", false, true, false}, Step{"no DSB after it", true, false, false},
                        Step{"both", true, true, true}}) {
    FakeTables f;
    f.map(va, some_page);
    f.clear(va);
    if (s.tlbi) f.tlbi(0, f.op(vmsa::vaale1is, va));
    if (s.dsb) f.shadow.dsb(0, Dsb::ish);
    f.map(va, other_page);
    EXPECT_EQ(f.conflicts(), s.safe ? Conflict::none : Conflict::output_address) << s.what;
  }
}

TEST_F(Judgement, ALocalTlbiIsNoBreak) {
  t.map(va, some_page);
  t.clear(va);
  vmsa::TlbiOp local = vmsa::vaale1is;
  local.broadcast = false;
  t.flush(0, t.op(local, va));
  t.map(va, other_page);
  ASSERT_EQ(t.conflicts(), Conflict::output_address);
  EXPECT_EQ(t.conflict->holders, all_cpus - CpuSet::one(0));
}

struct SizeChange {
  BbmLevel bbm;
  Conflict conflict;
};

TEST_F(Judgement, BlockAgainstTable) {
  for (const SizeChange& c : {SizeChange{BbmLevel::level0, Conflict::block_size},
                              SizeChange{BbmLevel::level1, Conflict::block_size},
                              SizeChange{BbmLevel::level2, Conflict::block_size},
                              SizeChange{BbmLevel::level2_no_abort, Conflict::none}}) {
    for (bool split : {true, false}) {
      FakeTables f;
      f.bbm = c.bbm;
      const PhysAddr table = f.page();
      f.memory.write(table, f.leaf(some_page));
      const Descriptor as_table = vmsa::make_table(f.r, table);
      const Descriptor as_block = f.leaf(some_page, vmsa::page_kernel, pmd_level);
      f.store(f.slot(va, pmd_level), split ? as_block : as_table);
      f.store(f.slot(va, pmd_level), split ? as_table : as_block);
      EXPECT_EQ(f.conflicts(), c.conflict) << static_cast<int>(c.bbm) << (split ? " split" : " joined");
    }
  }
}

TEST_F(Judgement, AnEmptyTableOverAStaleBlockIsAChangeOfSize) {
  t.map(va, some_page, vmsa::page_kernel, pmd_level);
  t.store(t.slot(va, pmd_level), vmsa::make_table(t.r, t.page()));
  EXPECT_EQ(t.conflicts(), Conflict::block_size);
}

TEST_F(Judgement, NoLevelPermitsAnotherAddressOrType) {
  const vmsa::Attributes device{.memory_index = 4};
  for (const auto& [pa, a, expected] : {std::tuple{other_page, vmsa::page_kernel, Conflict::output_address},
                                        std::tuple{some_page, device, Conflict::memory_type},
                                        std::tuple{some_page, vmsa::page_kernel, Conflict::none}}) {
    FakeTables f;
    f.bbm = BbmLevel::level2_no_abort;
    f.map(va, some_page, vmsa::page_kernel, pmd_level);
    const PhysAddr table = f.page();
    f.memory.write(table + 8, f.leaf(pa + page_size, a));
    f.store(f.slot(va, pmd_level), vmsa::make_table(f.r, table));
    EXPECT_EQ(f.conflicts(), expected);
  }
}

TEST_F(Judgement, BelowANewUpperTableToo) {
  t.map(va, some_page);
  t.clear(va, pud_level);
  t.flush(0, t.op(vmsa::vaae1is, va + t.r.span(pmd_level)));  // drops the upper entry, not what is below
  EXPECT_EQ(t.holders(va, pmd_level), all_cpus);
  const PhysAddr pmd = t.page(), pte = t.page();
  t.memory.write(pmd, vmsa::make_table(t.r, pte));  // another table for the same addresses, empty
  t.store(t.slot(va, pud_level), vmsa::make_table(t.r, pmd));
  EXPECT_EQ(t.conflicts(), Conflict::output_address)
      << "its contents are not those of the table that is walked still";
}

TEST_F(Judgement, ABlockOverAStaleTable) {
  t.map(va, some_page);
  t.clear(va);
  t.clear(va, pmd_level);
  t.flush(0, t.op(vmsa::vaale1is, va));  // 3a0b870e3448: leaves only
  t.map(va, some_page, vmsa::page_kernel, pmd_level);
  EXPECT_EQ(t.conflicts(), Conflict::block_size);
}

TEST_F(Judgement, TheSameTableTwiceIsNoConflict) {
  t.map(va, some_page);
  const PhysAddr table = t.table_below(va, pmd_level);
  t.clear(va, pmd_level);
  t.store(t.slot(va, pmd_level), vmsa::make_table(t.r, table));
  EXPECT_EQ(t.conflicts(), Conflict::none);
}

TEST_F(Judgement, ContiguousAgainstSingle) {  // R_NGLXZ
  const vmsa::Attributes contiguous{.dbm = true, .contiguous = true};
  t.map(va, some_page);
  t.map(va, some_page, contiguous);
  EXPECT_EQ(t.conflicts(), Conflict::block_size) << "in place";

  FakeTables group;
  group.map(va, some_page, contiguous);
  group.map(va + page_size, some_page + page_size, contiguous);
  EXPECT_EQ(group.conflicts(), Conflict::none) << "a group on its way";
  group.map(va + 2 * page_size, some_page + 2 * page_size);
  EXPECT_EQ(group.conflicts(), Conflict::block_size) << "a member without the bit";

  FakeTables apart;
  apart.map(va, some_page, contiguous);
  apart.map(va + page_size, other_page + page_size, contiguous);
  EXPECT_EQ(apart.conflicts(), Conflict::output_address) << "members that are not contiguous";

  FakeTables neighbours;
  neighbours.map(va, some_page, contiguous);
  neighbours.map(va + 16 * page_size, other_page);
  EXPECT_EQ(neighbours.conflicts(), Conflict::none) << "the next group is another";
}

TEST_F(Judgement, GlobalOverNonGlobal) {
  FakeTables user(vmsa::regime(12, 48), true);
  const VirtAddr at(0x40'0000);
  user.map(at, some_page, {.user = true, .not_global = true});
  user.map(at, some_page, {.user = true});
  EXPECT_EQ(user.conflicts(), Conflict::global);
}

TEST_F(Judgement, AnotherAddressSpaceIsNoConflict) {
  FakeTables user(vmsa::regime(12, 48), true);
  const VirtAddr at(0x40'0000);
  const vmsa::Attributes a{.user = true, .not_global = true};
  user.map(at, some_page, a);
  user.clear(at, pmd_level);
  const PhysAddr first = user.root;
  user.root = user.page();
  user.run_everywhere(2);  // the next process, over the same addresses
  user.map(at, other_page, a);
  EXPECT_EQ(user.conflicts(), Conflict::none);
  user.root = first;
  user.run_everywhere(1);
  user.map(at, other_page, a);
  EXPECT_EQ(user.conflicts(), Conflict::output_address) << "the first one again, its entries still held";
}

TEST_F(Judgement, HardwareMaySetTheAccessFlagOfTheNew) {  // "judge with the access flag set"
  t.map(va, some_page);
  t.map(va, other_page, {.accessed = false});
  EXPECT_EQ(t.conflicts(), Conflict::output_address);
}

// ---- where accesses go --------------------------------------------------------------------------------------

TEST_F(Judgement, CurrentThenStale) {
  t.map(va, some_page);
  EXPECT_EQ(reached(0, va).size(), 1u);
  t.clear(va);
  const auto all = reached(0, va + 0x123);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].walk.fault, vmsa::Fault::translation);
  EXPECT_FALSE(all[0].stale);
  EXPECT_EQ(all[1].walk.pa, some_page + 0x123);
  EXPECT_TRUE(all[1].stale);
  t.tlbi(0, t.op(vmsa::vaale1is, va));
  t.shadow.dsb(0, Dsb::ish);
  EXPECT_EQ(reached(1, va).size(), 1u);
  EXPECT_EQ(reached(0, va).size(), 2u) << "the issuer without its ISB";
}

TEST_F(Judgement, ThroughAStaleTableToWhateverIsThere) {
  t.map(va, some_page);
  const PhysAddr table = t.table_below(va, pmd_level);
  t.clear(va);
  t.flush(0, t.op(vmsa::vaale1is, va));
  t.clear(va, pmd_level);
  EXPECT_EQ(reached(2, va).size(), 2u) << "a fault here or there";
  EXPECT_TRUE(pages(2, va).empty());
  t.store(table, t.leaf(other_page));
  EXPECT_EQ(pages(2, va), (std::set{other_page}));
}

TEST_F(Judgement, ThroughAStaleTableToAFault) {
  t.map(va, some_page);
  const PhysAddr old = t.table_below(va, pmd_level);
  t.clear(va);
  t.flush(0, t.op(vmsa::vaale1is, va));
  t.clear(va, pmd_level);
  t.tlbi(0, t.op(vmsa::vaae1is, va));
  t.shadow.dsb(0, Dsb::ish);  // and no ISB
  t.map(va, other_page);
  EXPECT_EQ(t.conflicts(), Conflict::none);
  EXPECT_NE(t.table_below(va, pmd_level), old);
  ASSERT_EQ(reached(0, va).size(), 2u);
  EXPECT_NE(reached(0, va)[1].walk.fault, vmsa::Fault::none)
      << "its own pipeline still walks the old, empty table";
  EXPECT_EQ(reached(1, va).size(), 1u);
  t.shadow.isb(0);
  EXPECT_EQ(reached(0, va).size(), 1u);
}

TEST_F(Judgement, AWalkChoosesAtEachLevel) {
  t.map(va, some_page);
  const PhysAddr old = t.table_below(va, pmd_level);
  t.clear(va, pmd_level);
  t.store(old, t.leaf(other_page));
  EXPECT_EQ(pages(1, va), (std::set{some_page, other_page}));
}

TEST_F(Judgement, AccessFlagClearFaultsWithoutHardware) {
  t.map(va, some_page, {.accessed = false});
  EXPECT_EQ(walk(t.shadow, t.memory, 0, va).fault, vmsa::Fault::access_flag);
  t.shadow.set_hardware({.access_flag = true});
  EXPECT_EQ(walk(t.shadow, t.memory, 0, va).fault, vmsa::Fault::none);
}

TEST_F(Judgement, StaleTablesAreListedWithTheirHolders) {
  t.map(va, some_page);
  const PhysAddr pmd = t.table_below(va, pud_level), pte = t.table_below(va, pmd_level);
  t.clear(va, pud_level);
  std::set<std::uint64_t> pages;
  t.shadow.for_each_stale_table(t.memory, [&](const TableAt& at, CpuSet holders, const Entry&) {
    pages.insert(at.page.value);
    EXPECT_EQ(holders, all_cpus);
  });
  EXPECT_EQ(pages, (std::set{pmd.value, pte.value}));
}

}  // namespace
}  // namespace shootdown::shadow
