// SPDX-License-Identifier: MIT
// When a stale entry comes and when it goes: RULES 1 to 12, one scenario each.
#include <algorithm>

#include <gtest/gtest.h>

#include "tests/shadow/fake_tables.hpp"

namespace shootdown::shadow {
namespace {

using machine::Dsb;
using vmsa::page_level;
using vmsa::pmd_level;
using vmsa::pud_level;

class Invalidation : public testing::Test {
 protected:
  FakeTables t;
  const VirtAddr va = t.r.base() + 0x20'0000;
  const std::uint64_t page_size = t.r.page_size();
};

// ---- 1, 2, 3: what is held ----------------------------------------------------------------------------------

TEST_F(Invalidation, WhatTheTablesSayNeedsNoEntry) {
  t.map(va, some_page);
  EXPECT_TRUE(t.shadow.empty());
  EXPECT_EQ(t.release(some_page), Harm::none) << "a live alias harms nobody";
}

TEST_F(Invalidation, AClearedLeafIsHeldByEveryCpu) {
  t.map(va, some_page);
  t.clear(va);
  EXPECT_EQ(t.holders(va), all_cpus);
  EXPECT_EQ(t.release(some_page), Harm::stale_page);
  EXPECT_EQ(t.release(other_page), Harm::none);
}

TEST_F(Invalidation, FaultingDescriptorsAreNeverHeld) {  // I_WZCBG, I_RGQLZ
  t.map(va, some_page, {.accessed = false});
  t.clear(va);
  EXPECT_TRUE(t.shadow.empty());
  t.store(t.slot(va), Descriptor{some_page.value | Descriptor::accessed_bit});  // valid bit clear
  t.clear(va);
  EXPECT_TRUE(t.shadow.empty());
}

TEST_F(Invalidation, ReservedBlocksAreNeverHeldAndRealOnesAre) {
  for (const Regime& r : vmsa::regimes) {
    FakeTables f(r);
    for (Level level = r.root_level(); level < page_level; level = level.next()) {
      const Descriptor block{Descriptor::valid_bit | Descriptor::accessed_bit};
      const VirtAddr at = f.base;
      f.store(f.slot(at, level), block);
      f.store(f.slot(at, level), Descriptor{});
      EXPECT_EQ(!f.shadow.empty(), r.accepts_block(level))
          << r.page_shift << "/" << r.va_bits << " " << level.value;
      f.flush(0, f.op(vmsa::vmalle1is));
    }
  }
}

TEST_F(Invalidation, ATlbiBeforeTheClearAchievesNothing) {  // R_GPPYH
  t.map(va, some_page);
  t.tlbi(0, t.op(vmsa::vmalle1is));
  t.clear(va);
  t.shadow.dsb(0, Dsb::ish);
  t.shadow.isb(0);
  EXPECT_EQ(t.holders(va), all_cpus);
}

TEST_F(Invalidation, WhatGoesStaleAgainIsHeldAfresh) {
  t.map(va, some_page);
  t.clear(va);
  t.tlbi(0, t.op(vmsa::vmalle1is));
  t.map(va, some_page);  // the same value again: current, and may be cached anew
  t.clear(va);
  t.shadow.dsb(0, Dsb::ish);
  t.shadow.isb(0);
  EXPECT_EQ(t.holders(va), all_cpus);
  t.flush(0, t.op(vmsa::vmalle1is));
  EXPECT_TRUE(t.shadow.empty());
}

TEST_F(Invalidation, AnotherValueOfTheSlotIsAnEntryOfItsOwn) {
  t.map(va, some_page);
  t.clear(va);
  t.tlbi(0, t.op(vmsa::vaale1is, va));
  t.map(va, other_page);
  t.clear(va);
  t.shadow.dsb(0, Dsb::ish);
  t.shadow.isb(0);
  EXPECT_EQ(t.release(some_page), Harm::none);
  EXPECT_EQ(t.release(other_page), Harm::stale_page);
}

TEST_F(Invalidation, UserAddressZeroIsAnAddress) {
  FakeTables user(vmsa::regime(12, 48), /*user=*/true);
  user.map(VirtAddr(0), some_page);
  const PhysAddr table = user.table_below(VirtAddr(0), pmd_level);
  user.clear(VirtAddr(0));
  user.clear(VirtAddr(0), pmd_level);
  EXPECT_EQ(std::ranges::count_if(reach(user.shadow, user.memory, 1, VirtAddr(0x10)),
                                  [](const Reach& x) { return x.walk.pa == some_page + 0x10; }),
            1);
  user.flush(0, user.op(vmsa::vaae1is, VirtAddr(0x1000)));
  EXPECT_EQ(user.release(table), Harm::none);
  EXPECT_EQ(user.release(some_page), Harm::stale_page) << "another page was named";
  user.flush(0, user.op(vmsa::vaale1is, VirtAddr(0)));
  EXPECT_TRUE(user.shadow.empty());
}

TEST_F(Invalidation, TheTopOfTheAddressSpaceIsAnAddress) {
  const VirtAddr top = VirtAddr(0) - page_size;
  t.map(top, some_page);
  t.clear(top);
  vmsa::TlbiOp range = vmsa::vaale1is;
  range.range = true;
  t.flush(0, t.op(range, VirtAddr(0) - 2 * page_size, 2));
  EXPECT_TRUE(t.shadow.empty());
}

// ---- 5, 6: completion ---------------------------------------------------------------------------------------

struct Barrier {
  vmsa::TlbiOp op;
  Dsb dsb;
  unsigned cpu;
  bool completes;
};

TEST_F(Invalidation, OnlyASufficientBarrierOfTheSameCpuCompletes) {  // R_LXHLD, R_PSMWS, R_YNJCP
  const std::array<Barrier, 9> cases{{
      {vmsa::vmalle1is, Dsb::ish, 0, true},
      {vmsa::vmalle1is, Dsb::nsh, 0, false},
      {vmsa::vmalle1is, Dsb::ishst, 0, false},
      {vmsa::vmalle1is, Dsb::nshst, 0, false},
      {vmsa::vmalle1is, Dsb::ish, 1, false},
      {vmsa::vmalle1, Dsb::nsh, 0, true},
      {vmsa::vmalle1, Dsb::ish, 0, true},
      {vmsa::vmalle1, Dsb::nshst, 0, false},
      {vmsa::vmalle1, Dsb::nsh, 1, false},
  }};
  for (const Barrier& b : cases) {
    FakeTables f;
    f.map(va, some_page);
    f.clear(va);
    f.tlbi(0, f.op(b.op));
    f.shadow.dsb(b.cpu, b.dsb);
    for (unsigned cpu : {0u, 1u, 2u}) f.shadow.isb(cpu);
    const CpuSet scope = b.op.broadcast ? all_cpus : CpuSet::one(0);
    EXPECT_EQ(f.holders(va), b.completes ? all_cpus - scope : all_cpus)
        << vmsa::tlbi_name(b.op).c_str() << " DSB " << machine::dsb_names[static_cast<unsigned>(b.dsb)]
        << " on " << b.cpu;
    f.shadow.dsb(0, Dsb::ish);  // any later sufficient one does: the one in a context switch too
    f.shadow.isb(0);
    EXPECT_EQ(f.holders(va), all_cpus - scope);
  }
}

TEST_F(Invalidation, ABarrierCompletesWhatWasIssuedBeforeIt) {
  t.map(va, some_page);
  t.clear(va);
  t.shadow.dsb(0, Dsb::ish);
  t.tlbi(0, t.op(vmsa::vmalle1is));
  EXPECT_EQ(t.holders(va), all_cpus);
}

TEST_F(Invalidation, TheIssuerNeedsItsOwnIsbForTheKernelHalf) {  // R_BLDZX
  t.map(va, some_page);
  t.clear(va);
  t.tlbi(1, t.op(vmsa::vaale1is, va));
  t.shadow.isb(1);  // too early
  t.shadow.dsb(1, Dsb::ish);
  EXPECT_EQ(t.holders(va), CpuSet::one(1)) << "the others' entries are gone by the DSB";
  EXPECT_EQ(t.release(some_page), Harm::stale_page);
  t.shadow.isb(0);
  EXPECT_EQ(t.holders(va), CpuSet::one(1)) << "another CPU's ISB is none";
  t.shadow.isb(1);
  EXPECT_TRUE(t.shadow.empty());
}

TEST_F(Invalidation, UserEntriesAreGoneByTheDsb) {
  FakeTables user(vmsa::regime(12, 48), /*user=*/true);
  user.map(VirtAddr(0x40'0000), some_page);
  user.clear(VirtAddr(0x40'0000));
  user.tlbi(1, user.op(vmsa::vaale1is, VirtAddr(0x40'0000)));
  user.shadow.dsb(1, Dsb::ish);
  EXPECT_EQ(user.release(some_page), Harm::none) << "as freeing goes: Linux issues no ISB";
  EXPECT_EQ(user.holders(VirtAddr(0x40'0000)), CpuSet::one(1)) << "its own accesses still use it";
  user.shadow.isb(1);
  EXPECT_TRUE(user.shadow.empty());
}

TEST_F(Invalidation, AnotherCpusFlushMakesUpForAMissingIsb) {
  t.map(va, some_page);
  t.clear(va);
  t.tlbi(1, t.op(vmsa::vaale1is, va));
  t.shadow.dsb(1, Dsb::ish);
  t.tlbi(2, t.op(vmsa::vaale1is, va));
  t.shadow.dsb(2, Dsb::ish);
  t.shadow.isb(2);
  EXPECT_TRUE(t.shadow.empty());
}

// ---- 7: scope -----------------------------------------------------------------------------------------------

TEST_F(Invalidation, ALocalOperationTouchesTheIssuerAlone) {  // R_FZTHY
  t.map(va, some_page);
  t.clear(va);
  vmsa::TlbiOp local = vmsa::vaale1is;
  local.broadcast = false;
  EXPECT_EQ(t.outcome(2, t.op(local, va), page_level, va), Outcome::scope);
  t.shadow.dsb(2, Dsb::nsh);
  t.shadow.isb(2);
  EXPECT_EQ(t.holders(va), all_cpus - CpuSet::one(2));
  EXPECT_EQ(t.release(some_page), Harm::stale_page);
}

// ---- 8: levels and contexts ---------------------------------------------------------------------------------

/// A leaf table with one page, cleared and unlinked.
void unlink_table(FakeTables& f, VirtAddr va, bool clear_first) {
  f.map(va, some_page);
  if (clear_first) f.clear(va);
  f.clear(va, pmd_level);
}

TEST_F(Invalidation, LastLevelFormsKeepWalkCacheEntries) {  // R_VMSWQ
  unlink_table(t, va, true);
  const VirtAddr table_va = va.align_down(t.r.span(pmd_level));
  for (vmsa::TlbiOp op : {vmsa::vaale1is, vmsa::vale1is})
    EXPECT_EQ(t.outcome(0, t.op(op, va), pmd_level, table_va), Outcome::last_level);
  EXPECT_EQ(t.outcome(0, t.op(vmsa::vaae1is, va + 0x5000), pmd_level, table_va), Outcome::doomed)
      << "any address under the entry names it";
}

TEST_F(Invalidation, AsidFormsKeepTheKernelsWalkCacheEntriesOfOtherContexts) {  // R_JXKNN
  unlink_table(t, va, true);
  const VirtAddr table_va = va.align_down(t.r.span(pmd_level));
  vmsa::Tlbi other = t.op(vmsa::vae1is, va);
  other.asid = 7;
  EXPECT_EQ(t.outcome(0, other, pmd_level, table_va), Outcome::asid);
  EXPECT_EQ(t.outcome(0, other, page_level, va), Outcome::doomed) << "the leaf is global";
  vmsa::Tlbi whole = t.op(vmsa::aside1is);
  whole.asid = 7;
  EXPECT_EQ(t.outcome(0, whole, pmd_level, table_va), Outcome::asid);
  EXPECT_EQ(t.outcome(0, t.op(vmsa::vae1is, va), pmd_level, table_va), Outcome::asid) << "nor ASID 0";
  EXPECT_EQ(t.outcome(0, t.op(vmsa::vaae1is, va), pmd_level, table_va), Outcome::doomed);
}

TEST_F(Invalidation, NonGlobalLeavesGoByTheirAsidOnly) {
  FakeTables user(vmsa::regime(12, 48), /*user=*/true);
  user.run_everywhere(5);
  const VirtAddr at(0x40'0000);
  user.map(at, some_page, {.user = true, .not_global = true});
  user.clear(at);
  vmsa::Tlbi op = user.op(vmsa::vale1is, at);
  op.asid = 6;
  EXPECT_EQ(user.outcome(0, op, page_level, at), Outcome::asid);
  op.asid = 5;
  EXPECT_EQ(user.outcome(0, op, page_level, at), Outcome::doomed);
}

// ---- 9, 10: ranges and hints --------------------------------------------------------------------------------

TEST_F(Invalidation, ARangeCoversItsPagesAndNoOther) {
  for (unsigned i = 0; i < 5; ++i) t.map(va + i * page_size, some_page + i * page_size);
  for (unsigned i = 0; i < 5; ++i) t.clear(va + i * page_size);
  vmsa::TlbiOp range = vmsa::vaale1is;
  range.range = true;
  t.flush(0, t.op(range, va, 4));
  for (unsigned i = 0; i < 4; ++i) EXPECT_TRUE(t.holders(va + i * page_size).empty()) << i;
  EXPECT_EQ(t.holders(va + 4 * page_size), all_cpus) << "one page short";
}

TEST_F(Invalidation, AWrongHintOrGranuleObligesNothing) {  // R_SQXYZ, R_XKMMX
  const VirtAddr block = va.align_down(t.r.span(pmd_level));
  t.map(block, some_page, vmsa::page_kernel, pmd_level);
  t.clear(block, pmd_level);
  vmsa::Tlbi op = t.op(vmsa::vaale1is, block);
  op.ttl = page_level;
  EXPECT_EQ(t.outcome(0, op, pmd_level, block), Outcome::level_hint);
  op.ttl = pmd_level;
  op.page_shift = 14;
  EXPECT_EQ(t.outcome(0, op, pmd_level, block), Outcome::granule);
  op.page_shift = 12;
  EXPECT_EQ(t.outcome(0, op, pmd_level, block), Outcome::doomed);
}

TEST_F(Invalidation, OneAddressNamesAWholeBlock) {
  const VirtAddr block = va.align_down(t.r.span(pmd_level));
  t.map(block, some_page, vmsa::page_kernel, pmd_level);
  t.clear(block, pmd_level);
  t.flush(0, t.op(vmsa::vaale1is, block + 0x1f'f000));
  EXPECT_TRUE(t.shadow.empty());
}

// ---- refills through what an operation leaves ---------------------------------------------------------------

TEST_F(Invalidation, ALeafIsRefilledThroughAStaleTableEntry) {
  unlink_table(t, va, /*clear_first=*/false);
  const VirtAddr table_va = va.align_down(t.r.span(pmd_level));
  EXPECT_EQ(t.outcome(0, t.op(vmsa::vaale1is, va), page_level, va), Outcome::last_level)
      << "the table entry stays, and the word is still there";
  t.shadow.dsb(0, Dsb::ish);
  t.shadow.isb(0);
  EXPECT_EQ(t.holders(va), all_cpus);
  t.flush(0, t.op(vmsa::vaae1is, va + page_size));  // the table entry, by another address
  EXPECT_TRUE(t.holders(table_va, pmd_level).empty());
  EXPECT_EQ(t.release(some_page), Harm::stale_page) << "refilled in between";
  t.flush(0, t.op(vmsa::vaale1is, va));
  EXPECT_TRUE(t.shadow.empty()) << "nothing leads there any more";
}

TEST_F(Invalidation, OneOperationOverTableAndLeafIsEnough) {
  unlink_table(t, va, /*clear_first=*/false);
  t.flush(0, t.op(vmsa::vaae1is, va));
  EXPECT_TRUE(t.shadow.empty());
}

TEST_F(Invalidation, ALocalFlushOfTheTableLetsTheOthersRefill) {
  unlink_table(t, va, /*clear_first=*/false);
  vmsa::TlbiOp local = vmsa::vaae1is;
  local.broadcast = false;
  t.flush(1, t.op(local, va));
  t.flush(0, t.op(vmsa::vaale1is, va));
  EXPECT_EQ(t.holders(va), all_cpus - CpuSet::one(1));
}

// ---- 11: contiguous groups ----------------------------------------------------------------------------------

class Contiguous : public Invalidation {
 protected:
  static constexpr unsigned members = 16;
  const vmsa::Attributes contiguous{.dbm = true, .contiguous = true};
  VirtAddr member(unsigned i) const { return va + i * page_size; }
  void map_group(vmsa::Attributes a) {
    for (unsigned i = 0; i < members; ++i) t.map(member(i), some_page + i * page_size, a);
  }
};

TEST_F(Contiguous, AValidMemberMayRefillTheOthers) {  // R_LQLSD, I_JQPNP
  map_group(contiguous);
  for (unsigned i = 0; i + 1 < members; ++i) t.clear(member(i));
  for (const vmsa::Tlbi& op :
       {t.op(vmsa::vaale1is, member(0)), t.op(vmsa::vmalle1is), t.op(vmsa::vaae1is, member(0))})
    EXPECT_EQ(t.outcome(0, op, page_level, member(0)), Outcome::contiguous) << vmsa::tlbi_name(op.op).c_str();
  t.shadow.dsb(0, Dsb::ish);
  t.shadow.isb(0);
  EXPECT_EQ(t.release(some_page), Harm::stale_page);
  t.clear(member(15));
  t.flush(0, t.op(vmsa::vmalle1is));
  EXPECT_TRUE(t.shadow.empty());
}

TEST_F(Contiguous, MemberByMemberLeavesAllButTheLast) {  // 48478b9f7913
  map_group(contiguous);
  for (unsigned i = 0; i < members; ++i) {
    t.clear(member(i));
    t.flush(0, t.op(vmsa::vaale1is, member(i)));
  }
  for (unsigned i = 0; i + 1 < members; ++i) EXPECT_EQ(t.holders(member(i)), all_cpus) << i;
  EXPECT_TRUE(t.holders(member(15)).empty());
}

TEST_F(Contiguous, SinglePagesAreTheirOwn) {
  map_group(vmsa::page_kernel);
  t.clear(member(0));
  t.flush(0, t.op(vmsa::vaale1is, member(0)));
  EXPECT_TRUE(t.shadow.empty());
}

TEST_F(Contiguous, TheNextGroupDoesNotMatter) {
  map_group(contiguous);
  for (unsigned i = 0; i < members; ++i) t.map(member(members + i), other_page + i * page_size, contiguous);
  for (unsigned i = 0; i < members; ++i) t.clear(member(i));
  t.flush(0, t.op(vmsa::vmalle1is));
  EXPECT_TRUE(t.shadow.empty());
}

TEST_F(Contiguous, BlocksOfAGroupToo) {
  const VirtAddr first = t.r.base();
  for (unsigned i = 0; i < 16; ++i)
    t.map(first + i * t.r.span(pmd_level), some_page + i * t.r.span(pmd_level), contiguous, pmd_level);
  t.clear(first, pmd_level);
  EXPECT_EQ(t.outcome(0, t.op(vmsa::vaale1is, first), pmd_level, first), Outcome::contiguous);
}

TEST_F(Contiguous, AnUnlinkedGroupRefillsThroughAStaleTableOnly) {
  map_group(contiguous);
  t.clear(va, pmd_level);  // unlinked with all members in it
  EXPECT_EQ(t.outcome(0, t.op(vmsa::vaale1is, va), page_level, va), Outcome::last_level);
  t.shadow.dsb(0, Dsb::ish);
  EXPECT_EQ(t.holders(va), all_cpus) << "the walk cache leads to the group";
  t.flush(0, t.op(vmsa::vmalle1is));
  EXPECT_TRUE(t.shadow.empty()) << "one operation over table and members leaves nothing";
}

TEST_F(Contiguous, AnUnlinkedGroupGoesAddressByAddress) {
  map_group(contiguous);
  t.clear(va, pmd_level);
  for (unsigned i = 0; i < members; ++i) t.flush(0, t.op(vmsa::vaae1is, member(i)));
  EXPECT_TRUE(t.shadow.empty());
}

TEST_F(Contiguous, ARestrictedGroupRefillsTheRestrictionOnly) {
  map_group(contiguous);
  vmsa::Attributes read_only{.read_only = true, .contiguous = true};
  map_group(read_only);
  EXPECT_EQ(t.conflicts(), vmsa::Conflict::none) << "permissions alone are exempt";
  EXPECT_EQ(t.holders(va), all_cpus);
  t.flush(0, t.op(vmsa::vmalle1is));
  EXPECT_TRUE(t.shadow.empty()) << "no member is writable any more";
}

TEST_F(Contiguous, MembersThatMapElsewhereRefillNothingOfTheOld) {
  map_group(contiguous);
  for (unsigned i = 0; i < members; ++i) t.clear(member(i));
  for (unsigned i = 0; i < members; ++i)  // without a flush: a conflict, and the old must still be able to go
    t.map(member(i), other_page + i * page_size, contiguous);
  EXPECT_EQ(t.conflicts(), vmsa::Conflict::output_address);
  t.flush(0, t.op(vmsa::vmalle1is));
  EXPECT_TRUE(t.shadow.empty());
}

}  // namespace
}  // namespace shootdown::shadow
