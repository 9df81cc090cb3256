// SPDX-License-Identifier: MIT
// Contexts: who may hold what of which address space, from a switch of TTBR0 to the end of an ASID. And what a TLBI acts
// on at all, what the erratum leaves in flight, what is relied on.
#include <gtest/gtest.h>

#include "tests/shadow/fake_tables.hpp"

namespace shootdown::shadow {
namespace {

using machine::Dsb;
using vmsa::page_level;
using vmsa::pmd_level;

constexpr CpuSet only(unsigned cpu) { return CpuSet::one(cpu); }
constexpr VirtAddr at{0x40'0000};
constexpr vmsa::Attributes user_page{.user = true, .not_global = true};

/// A process with ASID 1 that CPU 0 runs, and others as a test has it.
class Spaces : public testing::Test {
 protected:
  Spaces() {
    t.base = VirtAddr(0);
    t.shadow.set_kernel_root(t.page());
    t.space = t.shadow.space_of(t.root, 1);
    t.map(at, some_page, user_page);
    t.run(0);
  }
  void flush_locally(unsigned cpu, vmsa::TlbiOp op) {
    op.broadcast = false;
    t.flush(cpu, t.op(op, at));
  }
  bool reused(unsigned cpu, std::uint8_t space) const {
    return check_reuse(t.shadow, t.memory, cpu, space).has_value();
  }

  FakeTables t;
};

TEST_F(Spaces, OnlyACpuThatRanItHoldsOfIt) {
  t.clear(at);
  EXPECT_EQ(t.holders(at), only(0));
  flush_locally(0, vmsa::vale1is);
  EXPECT_TRUE(t.shadow.empty()) << "a local flush is enough";
}

TEST_F(Spaces, ACpuThatLeftHoldsWhatWasThereThen) {
  t.run(1);
  t.leave(1);
  t.clear(at);
  EXPECT_EQ(t.holders(at), only(0) | only(1));
  t.flush(0, t.op(vmsa::vale1is, at));
  t.map(at, other_page, user_page);  // CPU 1 has not seen this
  t.clear(at);
  EXPECT_EQ(t.holders(at), only(0));
}

TEST_F(Spaces, ComingBackItSeesEverything) {
  t.run(1);
  t.leave(1);
  t.clear(at);
  t.flush(0, t.op(vmsa::vale1is, at));
  t.map(at, other_page, user_page);
  t.run(1);
  t.clear(at);
  EXPECT_EQ(t.holders(at), only(0) | only(1));
}

TEST_F(Spaces, TheSwitchIsOverWithTheIsb) {
  t.run(1);
  t.shadow.install(1, 0);
  EXPECT_TRUE(t.shadow.spaces()[t.space].running.contains(1)) << "both may be walked";
  EXPECT_FALSE(reach(t.shadow, t.memory, 1, at).front().walk.fault != vmsa::Fault::none);
  t.shadow.isb(1);
  EXPECT_FALSE(t.shadow.spaces()[t.space].running.contains(1));
  EXPECT_EQ(reach(t.shadow, t.memory, 1, at).front().walk.fault, vmsa::Fault::translation);
}

TEST_F(Spaces, AFlushOfAllEndsWhatACpuHoldsThatHasLeft) {
  t.run(1);
  t.leave(1);
  flush_locally(1, vmsa::aside1is);
  EXPECT_EQ(t.shadow.spaces()[t.space].may_hold, only(0));
  t.clear(at);
  EXPECT_EQ(t.holders(at), only(0));
}

TEST_F(Spaces, AFlushOfAllDoesNotEndItForACpuThatRunsIt) {
  flush_locally(0, vmsa::aside1is);
  EXPECT_EQ(t.shadow.spaces()[t.space].may_hold, only(0)) << "it walks at any time";
}

TEST_F(Spaces, AFlushThatIsNotCompleteEndsNothing) {
  t.run(1);
  t.leave(1);
  t.shadow.tlbi(t.memory, 1, t.op(vmsa::aside1is));
  EXPECT_EQ(t.shadow.spaces()[t.space].may_hold, only(0) | only(1));
  t.shadow.dsb(1, Dsb::ishst);
  EXPECT_EQ(t.shadow.spaces()[t.space].may_hold, only(0) | only(1));
  t.shadow.dsb(1, Dsb::ish);
  EXPECT_EQ(t.shadow.spaces()[t.space].may_hold, only(0));
}

TEST_F(Spaces, RunningItAgainUndoesAFlushUnderWay) {
  t.run(1);
  t.leave(1);
  t.shadow.tlbi(t.memory, 0, t.op(vmsa::aside1is));
  t.run(1);
  t.leave(1);
  t.shadow.dsb(0, Dsb::ish);
  EXPECT_TRUE(t.shadow.spaces()[t.space].may_hold.contains(1));
}

TEST_F(Spaces, ARetiredOneHarmsWhereItsAsidRuns) {  // RULES 23
  t.leave(0);
  t.shadow.retire(t.space, true);
  t.clear(at);
  EXPECT_EQ(t.holders(at), only(0));
  EXPECT_EQ(t.release(some_page), Harm::none);
  t.shadow.install(0, t.shadow.space_of(t.page(), 1));
  EXPECT_EQ(t.release(some_page), Harm::stale_page);
}

TEST_F(Spaces, AnAsidIsGivenAgainToCpusThatFlushedIt) {
  const std::uint8_t next = t.shadow.space_of(t.page(), 1), other = t.shadow.space_of(t.page(), 2);
  t.leave(0);
  t.shadow.retire(t.space, true);
  EXPECT_TRUE(reused(0, next));
  EXPECT_FALSE(reused(0, other)) << "another ASID";
  EXPECT_FALSE(reused(1, next)) << "it never ran the first";
  flush_locally(0, vmsa::vmalle1is);
  EXPECT_FALSE(reused(0, next));
}

TEST_F(Spaces, StaleEntriesOfAnAsidAreInItsWayToo) {
  const std::uint8_t next = t.shadow.space_of(t.page(), 1);
  t.clear(at);
  t.leave(0);
  EXPECT_TRUE(reused(0, next));
}

TEST_F(Spaces, TheKernelHalfIsWalkedByAll) {
  FakeTables kernel;
  kernel.map(kernel.base, some_page);
  kernel.clear(kernel.base);
  EXPECT_EQ(kernel.holders(kernel.base), all_cpus);
}

// ---- order before a TLBI (K11.5.3.1) ----------------------------------------------------------------------------

class Ordered : public testing::Test {
 protected:
  FakeTables t;
  const VirtAddr va = t.r.base();
  void SetUp() override {
    t.map(va, some_page);
    t.clear(va);
  }
  /// What a TLBI does to the entry without a further DSB.
  Outcome outcome(unsigned cpu, bool broadcast = true) {
    vmsa::TlbiOp op = vmsa::vaale1is;
    op.broadcast = broadcast;
    Outcome found = Outcome::address;
    t.shadow.tlbi(t.memory, cpu, t.op(op, va), [&](const Entry&, Outcome o) { found = o; });
    return found;
  }
};

TEST_F(Ordered, WithoutADsbAChangeHasNotHappenedForATlbi) { EXPECT_EQ(outcome(0), Outcome::early); }

TEST_F(Ordered, ADsbOfTheIssuerItIs) {
  t.shadow.dsb(1, Dsb::ish);
  EXPECT_EQ(outcome(0), Outcome::early);
  t.shadow.dsb(0, Dsb::ishst);
  EXPECT_EQ(outcome(0), Outcome::doomed);
}

TEST_F(Ordered, ANonShareableOneIsForLocalOperations) {
  t.shadow.dsb(0, Dsb::nshst);
  EXPECT_EQ(outcome(0), Outcome::early);
  EXPECT_EQ(outcome(0, false), Outcome::scope) << "for itself it is doomed";
}

TEST_F(Ordered, GoingStaleAgainItIsToBeOrderedAgain) {
  t.shadow.dsb(0, Dsb::ish);
  t.map(va, some_page);
  t.clear(va);
  EXPECT_EQ(outcome(0), Outcome::early);
}

TEST_F(Ordered, AnUnlinkedTableThatIsNotOrderedRefills) {
  FakeTables f;
  f.map(va, some_page);
  f.clear(va, pmd_level);
  f.shadow.tlbi(f.memory, 0, f.op(vmsa::vaae1is, va));
  f.shadow.dsb(0, Dsb::ish);
  f.shadow.isb(0);
  EXPECT_EQ(f.holders(va), all_cpus);
}

TEST_F(Ordered, OnlyThoseWhoseOperationsMayReachItAreToldApart) {
  FakeTables f;
  const Shadow::Issued issued{{f.op(vmsa::vaale1is, va)}, {f.op(vmsa::vaale1is, va + f.r.page_size())}, {}};
  f.shadow.set_issued(&issued);
  f.map(va, some_page);
  f.clear(va);
  const Shadow before = f.shadow;
  f.shadow.dsb(1, Dsb::ish);
  EXPECT_TRUE(f.shadow == before);
  f.shadow.dsb(0, Dsb::ish);
  EXPECT_FALSE(f.shadow == before);
}

// ---- erratum CVE-2025-10263 -----------------------------------------------------------------------------------------

TEST_F(Ordered, StoresMayBeInFlightBehindTheFirstFlush) {
  t.shadow.set_hardware({.repeat_tlbi = true});
  t.flush(0, t.op(vmsa::vaale1is, va));
  EXPECT_TRUE(t.holders(va).empty()) << "the entry is gone";
  EXPECT_EQ(t.release(some_page), Harm::stale_page) << "what it translated is not";
  t.shadow.dsb(0, Dsb::ish);
  EXPECT_EQ(t.release(some_page), Harm::stale_page) << "a DSB is no repetition";
  t.flush(1, t.op(vmsa::vaale1is, va));
  EXPECT_EQ(t.release(some_page), Harm::stale_page) << "nor another CPU's";
  t.flush(0, t.op(vmsa::vaale1is, va + 0x5000));
  EXPECT_EQ(t.release(some_page), Harm::none) << "any broadcast TLBI of the same CPU is";
  EXPECT_TRUE(t.shadow.empty());
}

TEST_F(Ordered, NothingIsInFlightThroughWhatIsReadOnlyOrATable) {
  FakeTables f;
  f.shadow.set_hardware({.repeat_tlbi = true});
  f.map(va, some_page, {.read_only = true});
  f.clear(va);
  f.clear(va, pmd_level);
  f.flush(0, f.op(vmsa::vmalle1is));
  EXPECT_TRUE(f.shadow.empty());
}

// ---- a group stands for all its addresses (R_LQLSD) -----------------------------------------------------------------

TEST(Groups, AMemberReachesWhatIsBehindInvalidOnes) {
  const vmsa::Attributes contiguous{.dbm = true, .contiguous = true};
  FakeTables t;
  const VirtAddr va = t.r.base();
  t.map(va, some_page, contiguous);
  auto by_design = [](VirtAddr) { return false; };
  auto mapped = [&](unsigned i) {
    const PhysAddr pa = some_page + i * t.r.page_size();
    return check_still_mapped(t.shadow, t.memory, {pa, pa + t.r.page_size()}, by_design).has_value();
  };
  EXPECT_TRUE(mapped(15)) << "never valid itself";
  EXPECT_FALSE(mapped(16)) << "another group";
  t.clear(va);
  for (unsigned i : {0u, 1u, 15u}) EXPECT_EQ(t.holders(va + i * t.r.page_size()), all_cpus) << i;
  EXPECT_EQ(t.release(some_page + 15 * t.r.page_size()), Harm::stale_page);
  t.flush(0, t.op(vmsa::vaale1is, va));
  EXPECT_EQ(t.release(some_page + 15 * t.r.page_size()), Harm::stale_page) << "one address of sixteen";
  t.flush(0, t.op(vmsa::vmalle1is));
  EXPECT_TRUE(t.shadow.empty());
}

// ---- live mappings, reliance ----------------------------------------------------------------------------------------

TEST_F(Spaces, ALiveLeafOfAnySpaceStillMaps) {
  const PhysRange page{some_page, some_page + t.r.page_size()};
  auto nothing = [](VirtAddr) { return false; };
  auto this_one = [](VirtAddr va) { return va == at; };
  const auto found = check_still_mapped(t.shadow, t.memory, page, nothing);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->live);
  EXPECT_EQ(found->va, at);
  EXPECT_FALSE(check_still_mapped(t.shadow, t.memory, page, this_one)) << "by design";
  t.leave(0);
  t.shadow.retire(t.space, true);
  EXPECT_FALSE(check_still_mapped(t.shadow, t.memory, page, nothing)) << "nobody walks a retired space";
}

TEST_F(Spaces, ARestrictionIsReliedOnBehindItsFlush) {
  const vmsa::VirtRange page{at, at + t.r.page_size()};
  auto relied = [&](vmsa::Right nobody) {
    return check_relied(t.shadow, t.memory, t.space, page, {nobody, true}).has_value();
  };
  EXPECT_FALSE(relied(vmsa::Right::write)) << "nothing was forbidden";
  t.map(at, some_page, {.user = true, .read_only = true, .not_global = true});
  EXPECT_TRUE(relied(vmsa::Right::write));
  EXPECT_FALSE(relied(vmsa::Right::read));
  t.clear(at);
  EXPECT_TRUE(relied(vmsa::Right::read));
  t.flush(0, t.op(vmsa::vale1is, at));
  EXPECT_FALSE(relied(vmsa::Right::write) || relied(vmsa::Right::read));
}

TEST_F(Spaces, NobodyWritesThroughAStaleCleanLeaf) {  // R_SGJBL
  const vmsa::VirtRange page{at, at + t.r.page_size()};
  t.map(at, some_page, {.user = true, .read_only = true, .dbm = true, .not_global = true});
  t.flush(0, t.op(vmsa::vale1is, at));
  t.clear(at);
  EXPECT_FALSE(check_relied(t.shadow, t.memory, t.space, page, {vmsa::Right::write, true}));
  EXPECT_TRUE(check_relied(t.shadow, t.memory, t.space, page, {vmsa::Right::read, true}));
}

// ---- two pages that are equal (R_WHZWS) -----------------------------------------------------------------------------

TEST(Equal, PagesStandForEachOtherAsLongAsTheyAre) {
  FakeTables t;
  const VirtAddr va = t.r.base();
  const vmsa::Attributes read_only{.read_only = true};
  t.same_contents = true;
  t.map(va, some_page, read_only);
  t.map(va, other_page, read_only);
  EXPECT_EQ(t.conflicts(), vmsa::Conflict::none);
  EXPECT_FALSE(check_still_equal(t.shadow, t.memory, PhysAddr(0x1000)));
  EXPECT_TRUE(check_still_equal(t.shadow, t.memory, some_page + 8));
  EXPECT_TRUE(check_still_equal(t.shadow, t.memory, other_page + 8));
  t.flush(0, t.op(vmsa::vaale1is, va));
  EXPECT_FALSE(check_still_equal(t.shadow, t.memory, some_page + 8));
}

}  // namespace
}  // namespace shootdown::shadow
