// SPDX-License-Identifier: MIT
// What each operation does to a World, step by step: buffers and what drains out of them, barriers that wait, locks,
// allocation, releases, hardware walks.
#include <gtest/gtest.h>

#include "machine/model/stepper.hpp"
#include "tests/negative/small_world.hpp"

namespace shootdown::model {
namespace {

using machine::Dsb;
using shadow::Harm;
using W = SmallWorld;

class StepperTest : public testing::Test {
 protected:
  W w{3};
  World& world = w.setup.world;
  Stepper stepper{w.setup, w.setup.world};

  using Answers = std::vector<std::uint64_t>;
  static Answers answers_of(const Stepper& s, unsigned cpu, const Operation& op) {
    Answers all;
    for (const Outcome& o : s.outcomes(cpu, op)) all.push_back(o.answer);
    return all;
  }
  Answers answers(unsigned cpu, const Operation& op) { return answers_of(stepper, cpu, op); }
  bool waits(unsigned cpu, const Operation& op) { return stepper.outcomes(cpu, op).empty(); }
  /// Performs the first way of an operation with this answer.
  Harm perform(unsigned cpu, const Operation& op, std::optional<std::uint64_t> answer = {}) {
    for (const Outcome& o : stepper.outcomes(cpu, op)) {
      if (answer && o.answer != *answer) continue;
      const auto v = stepper.perform(cpu, op, o);
      return v ? v->finding.harm : Harm::none;
    }
    ADD_FAILURE() << "operation " << op.index() << " has no such way";
    return Harm::none;
  }
  Harm drain(unsigned cpu, unsigned index = 0) {
    const auto v = stepper.drain(cpu, index);
    return v ? v->finding.harm : Harm::none;
  }
  Harm drain_all(unsigned cpu) {
    Harm first = Harm::none;
    while (!buffer(cpu).empty())
      if (const Harm h = drain(cpu, stepper.drainable(cpu).at(0)); first == Harm::none) first = h;
    return first;
  }
  const std::vector<Buffered>& buffer(unsigned cpu) const { return world.cpus[cpu].buffer; }
  void write(unsigned cpu, PhysAddr slot, Descriptor d) { perform(cpu, op::WriteOnce{slot, d}); }
  /// A barrier, once it need not wait any more.
  void dsb(unsigned cpu, Dsb kind) {
    drain_all(cpu);
    perform(cpu, op::Dsb{kind});
  }
  std::uint64_t read(unsigned cpu, PhysAddr slot) { return answers(cpu, op::ReadOnce{slot}).at(0); }
};

// ---- buffers --------------------------------------------------------------------------------------------------

TEST_F(StepperTest, OthersSeeDrainedStoresOnly) {
  write(0, W::slot(0), {});
  EXPECT_EQ(read(0, W::slot(0)), 0u) << "its own youngest store";
  EXPECT_EQ(read(1, W::slot(0)), W::leaf(0).bits);
  EXPECT_TRUE(world.shadow.empty()) << "nothing has changed for a walker";
  drain(0);
  EXPECT_EQ(read(1, W::slot(0)), 0u);
  EXPECT_FALSE(world.shadow.empty());
}

TEST_F(StepperTest, ReadsMayBeEarlyUntilSomethingOrdersThem) {
  const Operation look = op::ReadOnce{W::slot(0)};
  write(0, W::slot(0), {});
  drain(0);
  EXPECT_EQ(answers(1, look), (Answers{0, W::leaf(0).bits}));
  EXPECT_EQ(answers(0, look), (Answers{0})) << "not whoever wrote it";
  perform(1, look, W::leaf(0).bits);
  EXPECT_EQ(answers(1, look).size(), 2u) << "still";
  perform(1, look, 0);
  EXPECT_EQ(answers(1, look), (Answers{0})) << "never back";
  EXPECT_EQ(answers(2, look).size(), 2u);
  perform(2, op::Dmb{machine::Dmb::ishst});
  EXPECT_EQ(answers(2, look).size(), 2u) << "a store barrier";
  perform(2, op::Dmb{machine::Dmb::ishld});
  EXPECT_EQ(answers(2, look), (Answers{0}));
}

TEST_F(StepperTest, BuffersAreOrderedPerLocationOnly) {
  write(0, W::slot(0), {});
  write(0, W::slot(1), {});
  write(0, W::slot(0), W::leaf(0));
  EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0, 1})) << "not the second store to slot 0";
  drain(0, 1);
  EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0}));
  drain(0);
  EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0}));
}

TEST_F(StepperTest, AFenceLetsNothingPast) {
  write(0, W::slot(0), {});
  perform(0, op::Dmb{machine::Dmb::ishst});
  write(0, W::slot(1), {});
  EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0}));
  drain(0);
  EXPECT_EQ(buffer(0).size(), 1u) << "the fence has gone with what it held back";
}

TEST_F(StepperTest, AStoreReleaseWaitsForAllThatIsOlder) {
  write(0, W::slot(0), {});
  perform(0, op::WriteOnce{W::slot(1), {}, machine::Order::release});
  write(0, W::slot(2), {});
  EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0, 2})) << "what is younger does not wait for it";
}

TEST_F(StepperTest, WhatWaitsForTheBuffer) {
  using machine::Lock;
  struct Case {
    Operation op;
    bool waits;
  };
  const std::array<Case, 14> cases{{
      {op::Dsb{Dsb::ish}, true},
      {op::Dsb{Dsb::ishst}, true},
      {op::Dsb{Dsb::nsh}, false},
      {op::Dsb{Dsb::nshst}, false},
      {op::Dmb{machine::Dmb::ish}, true},
      {op::Dmb{machine::Dmb::ishst}, false},
      {op::Dmb{machine::Dmb::ishld}, false},
      {op::Isb{}, false},
      {op::FetchUpdate{W::slot(1), op::Update::set, 0}, true},
      {op::FetchUpdate{W::slot(1), op::Update::set, 0, machine::Order::acquire}, false},
      {op::FetchUpdate{W::slot(0), op::Update::set, 0, machine::Order::relaxed},
       true},  // its own store comes first
      {op::BeginGrace{}, true},
      {op::FreePages{W::spare, machine::PageUse::table, 0}, false},
      {op::TakeLock{Lock::memory_hotplug}, false},
  }};
  for (const auto& [op, expected] : cases) {
    W fresh(2);
    Stepper s(fresh.setup, fresh.setup.world);
    s.perform(0, op::WriteOnce{W::slot(0), {}}, {});
    EXPECT_EQ(s.outcomes(0, op).empty(), expected) << "operation " << op.index();
    EXPECT_EQ(s.outcomes(1, op).empty(), false) << "another CPU's";
  }
}

/// Free and unlock are no barriers: they happen when all that is older has.
TEST_F(StepperTest, WhatIsGivenAwayGoesBehindWhatIsOlder) {
  using machine::Lock;
  perform(0, op::TakeLock{Lock::memory_hotplug});
  perform(0, op::TakeLockShared{Lock::init_mm_page_table});
  perform(0, op::BeginSection{});
  write(0, W::slot(0), {});
  for (const Operation& last : {Operation(op::DropLock{Lock::memory_hotplug}),
                                Operation(op::DropLockShared{Lock::init_mm_page_table}),
                                Operation(op::FreePages{W::spare, machine::PageUse::table, 0}),
                                Operation(op::ReleaseRange{W::one(7)}), Operation(op::EndSection{}),
                                Operation(op::FreeAfterGrace{W::page(6), machine::PageUse::data, 0})}) {
    perform(0, last);
    EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0})) << "operation " << last.index();
  }
  write(0, W::slot(1), {});
  EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0, 7})) << "a younger store passes them all";
  EXPECT_NE(world.page_at(W::spare)->usage.state, PageState::released);
  EXPECT_EQ(drain_all(0), Harm::none);
  EXPECT_EQ(world.page_at(W::spare)->usage.state, PageState::released);
  EXPECT_EQ(world.locks[0], LockState{});
  EXPECT_EQ(world.callbacks.size(), 1u);
}

TEST_F(StepperTest, CompareAndSwapIsSeenAtOnceIfItSucceeds) {
  write(0, W::slot(1), {});
  const Operation fails = op::Cmpxchg{W::slot(0), Descriptor{1}, {}};
  EXPECT_EQ(answers(0, fails), (Answers{W::leaf(0).bits})) << "it does not wait: it releases nothing";
  perform(0, fails);
  EXPECT_EQ(read(1, W::slot(0)), W::leaf(0).bits);
  EXPECT_EQ(buffer(0).size(), 1u);
  const Operation succeeds = op::Cmpxchg{W::slot(0), W::leaf(0), {}};
  EXPECT_TRUE(waits(0, succeeds)) << "a release";
  EXPECT_FALSE(waits(0, op::Cmpxchg{W::slot(0), W::leaf(0), {}, machine::Order::relaxed}));
  drain(0);
  perform(0, succeeds);
  EXPECT_EQ(read(1, W::slot(0)), 0u);
}

TEST_F(StepperTest, AStoreIntoAPageThatWasGivenAwayIsHarmful) {
  write(0, W::spare, {});
  world.page_at(W::spare)->usage.state = PageState::released;
  EXPECT_EQ(drain(0), Harm::walker_table);
  perform(0, op::DataStore{W::page(5), 1});
  world.page_at(W::page(5))->usage = {.state = PageState::reused, .owner = 1};
  EXPECT_EQ(drain(0), Harm::warning);
}

TEST_F(StepperTest, LocksExcludeAndAreShared) {
  using machine::Lock;
  const Operation lock = op::TakeLock{Lock::memory_hotplug},
                  shared = op::TakeLockShared{Lock::memory_hotplug},
                  other = op::TakeLock{Lock::init_mm_page_table};
  EXPECT_EQ(answers(0, lock).size(), 1u);
  perform(0, shared);
  EXPECT_EQ(answers(1, shared).size(), 1u);
  EXPECT_TRUE(answers(1, lock).empty()) << "waits";
  perform(1, shared);
  perform(0, op::DropLockShared{machine::Lock::memory_hotplug});
  drain(0);
  EXPECT_TRUE(answers(2, lock).empty());
  perform(1, op::DropLockShared{machine::Lock::memory_hotplug});
  EXPECT_TRUE(answers(2, lock).empty()) << "not visible yet";
  drain(1);
  perform(2, lock);
  EXPECT_TRUE(answers(0, shared).empty() && answers(0, lock).empty());
  EXPECT_EQ(answers(0, other).size(), 1u) << "another lock";
  perform(2, op::DropLock{machine::Lock::memory_hotplug});
  drain(2);
  EXPECT_EQ(answers(0, lock).size(), 1u);
  EXPECT_EQ(perform(1, op::DropLock{machine::Lock::memory_hotplug}), Harm::warning) << "nobody holds it";
}

TEST_F(StepperTest, AllocationReusesPagesWithWhatIsInThem) {
  Page& spare = *world.page_at(W::spare);
  spare.allocatable = true;
  spare.usage.state = PageState::released;
  world.memory.write(W::spare + 8, Descriptor{0x1234});
  const Operation alloc = op::AllocPages{machine::PageUse::table, 0};
  EXPECT_EQ(answers(0, alloc), (std::vector<std::uint64_t>{W::spare.value}));
  w.setup.allocation_may_fail = true;
  EXPECT_EQ(answers(0, alloc), (std::vector<std::uint64_t>{W::spare.value, 0}));
  perform(0, alloc, W::spare.value);
  EXPECT_EQ(answers(0, alloc), (std::vector<std::uint64_t>{0})) << "no more";
  EXPECT_EQ(read(0, W::spare + 8), 0x1234u);
  perform(0, op::ClearPage{W::spare});
  EXPECT_EQ(read(0, W::spare + 8), 0u);
  EXPECT_EQ(world.memory.read(W::spare + 8).bits, 0x1234u) << "zeros are stores like any other";
  dsb(0, Dsb::ishst);
  EXPECT_TRUE(world.memory.read(W::spare + 8).none());
}

TEST_F(StepperTest, DeferredPagesComeBackLastInFirstOut) {
  const Operation take = op::TakeDeferred{};
  EXPECT_EQ(answers(0, take).at(0), 0u);
  for (PhysAddr page : {W::pte, W::spare}) perform(0, op::DeferFree{page, machine::PageUse::table, 2});
  const auto first = from_word<machine::Deferred>(answers(0, take).at(0));
  EXPECT_EQ(first.page, W::spare);
  EXPECT_EQ(first.order, 2u);
  perform(0, take, answers(0, take).at(0));
  EXPECT_EQ(from_word<machine::Deferred>(answers(0, take).at(0)).page, W::pte);
  EXPECT_EQ(answers(1, take).at(0), 0u) << "a list for each CPU";
}

TEST_F(StepperTest, MemblockAnswersPfnValid) {
  const Operation valid = op::PfnValid{W::page(0)};
  EXPECT_EQ(answers(0, valid).at(0), 0u);
  perform(0, op::MemblockAdd{{W::page(0), W::page(4)}});
  EXPECT_EQ(answers(0, valid).at(0), 1u);
  perform(0, op::MemblockRemove{{W::page(0), W::page(4)}});
  EXPECT_EQ(answers(0, valid).at(0), 0u);
}

TEST_F(StepperTest, AWalkerInAFreedTableIsHarmed) {
  EXPECT_EQ(perform(1, op::ReadOnce{W::spare}), Harm::none);
  EXPECT_EQ(perform(0, op::FreePages{W::spare, machine::PageUse::table, 0}), Harm::none);
  EXPECT_EQ(perform(1, op::ReadOnce{W::spare}), Harm::none) << "it is not free yet";
  EXPECT_EQ(drain(0), Harm::none);
  EXPECT_EQ(perform(1, op::ReadOnce{W::spare}), Harm::walker_table);
  EXPECT_EQ(perform(1, op::WriteOnce{W::spare, {}}), Harm::walker_table);
  EXPECT_THROW(perform(1, op::ReadOnce{PhysAddr(0x7000'0000)}), std::logic_error) << "no page at all";
}

TEST_F(StepperTest, ATableFreedWhileLinkedIsStale) {
  perform(0, op::FreePages{W::pte, machine::PageUse::table, 0});
  EXPECT_EQ(drain(0), Harm::stale_table);
  perform(0, op::FreePages{W::pte, machine::PageUse::table, 0});
  EXPECT_EQ(drain(0), Harm::warning) << "and freed twice";
}

TEST_F(StepperTest, HardwareSetsFlagsOfLiveLeaves) {
  w.setup.features.hardware_access_flag = true;
  world.memory.write(W::slot(1), W::leaf(1, {.dbm = true, .accessed = false}));
  const auto updates = stepper.flag_updates();
  ASSERT_EQ(updates.size(), 1u);
  EXPECT_EQ(updates[0].slot, W::slot(1));
  EXPECT_FALSE(updates[0].through);
  EXPECT_FALSE(stepper.update_flag(updates[0]));
  EXPECT_TRUE(world.memory.read(W::slot(1)).accessed());
  ASSERT_EQ(world.flags.size(), 1u) << "nobody has been told";
  perform(0, op::ReadOnce{W::slot(1)});
  EXPECT_TRUE(world.flags[0].seen.contains(0));
}

TEST_F(StepperTest, HardwareSetsFlagsThroughStaleTables) {
  w.setup.features.hardware_access_flag = true;
  EXPECT_TRUE(stepper.flag_updates().empty());
  write(0, W::pmd, {});
  dsb(0, Dsb::ishst);
  EXPECT_TRUE(stepper.flag_updates().empty()) << "no word without its flag";
  perform(1, op::DataStore{W::slot(2), 0x3});
  EXPECT_TRUE(stepper.flag_updates().empty()) << "not yet visible";
  stepper.drain(1, 0);
  const auto updates = stepper.flag_updates();
  ASSERT_EQ(updates.size(), 1u);
  EXPECT_EQ(updates[0].slot, W::slot(2));
  const auto v = stepper.update_flag(updates[0]);
  EXPECT_EQ(world.memory.read(W::slot(2)).bits, 0x403u);
  ASSERT_TRUE(v);
  EXPECT_TRUE(v->hardware);
  EXPECT_EQ(v->finding.harm, Harm::stale_table);
  w.setup.features.hardware_access_flag = false;
  EXPECT_TRUE(stepper.flag_updates().empty());
}

TEST_F(StepperTest, TableFlagsWithHaftOnly) {
  w.setup.features.hardware_access_flag = true;
  write(0, W::root, {});
  dsb(0, Dsb::ishst);
  EXPECT_TRUE(stepper.flag_updates().empty());
  w.setup.features.hardware_table_flag = true;
  ASSERT_EQ(stepper.flag_updates().size(), 1u);
  EXPECT_EQ(stepper.flag_updates()[0].slot, W::pmd) << "the table descriptor below the stale one";
}

TEST_F(StepperTest, LoadsReachTheCurrentAndTheStale) {
  world.memory.write(W::page(0), Descriptor{11});
  world.memory.write(W::page(5), Descriptor{55});
  const Operation load = op::Load{W::at(0)};
  const std::uint64_t fault = fault_word(vmsa::Fault::translation, vmsa::page_level);
  EXPECT_EQ(answers(1, load), (Answers{11}));
  write(0, W::slot(0), {});
  EXPECT_EQ(answers(1, load), (Answers{11})) << "not visible yet";
  dsb(0, Dsb::ishst);
  EXPECT_EQ(answers(1, load), (Answers{fault, 11}));
  perform(0, op::Tlbi{{.op = vmsa::vmalle1is}});
  dsb(0, Dsb::ish);
  EXPECT_EQ(answers(1, load), (Answers{fault}));
  EXPECT_EQ(answers(0, load), (Answers{fault, 11})) << "no ISB yet";
  perform(0, op::Isb{});
  EXPECT_EQ(answers(0, load), (Answers{fault}));
}

/// DSB NSH concerns a CPU's own walker, though others do not see the store yet.
TEST_F(StepperTest, LocalMaintenanceOfAStoreThatOthersDoNotSee) {
  world.memory.write(W::page(0), Descriptor{11});
  const Operation load = op::Load{W::at(0)};
  const std::uint64_t fault = fault_word(vmsa::Fault::translation, vmsa::page_level);
  write(0, W::slot(0), {});
  perform(0, op::Dsb{Dsb::nshst});
  EXPECT_EQ(answers(0, load), (Answers{fault, 11}));
  vmsa::TlbiOp local = vmsa::vaale1is;
  local.broadcast = false;
  perform(0, op::Tlbi{{.op = local, .va = W::at(0)}});
  perform(0, op::Dsb{Dsb::nsh});
  perform(0, op::Isb{});
  EXPECT_EQ(answers(0, load), (Answers{fault}));
  EXPECT_EQ(answers(1, load), (Answers{11}));
  drain(0);
  world.shadow.for_each([](const shadow::Entry& e) { EXPECT_FALSE(e.holders.contains(0)); });
}

/// Accesses that used the old entry have finished when TLBI and DSB have (R_YNJCP).
TEST_F(StepperTest, ADsbWaitsForStoresThatTheOldEntryTranslated) {
  perform(1, op::Store{W::at(0), 5}, 0);
  perform(2, op::DataStore{W::page(0), 6});  // by another address: it has nothing to do with it
  write(0, W::slot(0), {});
  dsb(0, Dsb::ishst);
  perform(0, op::Tlbi{{.op = vmsa::vaale1is, .va = W::at(0)}});
  EXPECT_FALSE(waits(0, op::Dsb{Dsb::ishst})) << "it completes nothing";
  EXPECT_TRUE(waits(0, op::Dsb{Dsb::ish}));
  EXPECT_FALSE(waits(2, op::Dsb{Dsb::nsh})) << "another CPU's";
  drain(1);
  EXPECT_FALSE(waits(0, op::Dsb{Dsb::ish}));
}

TEST_F(StepperTest, ReusedPagesAreJudgedAgain) {
  EXPECT_TRUE(answers(2, op::TakeReleased{}).empty()) << "waits";
  perform(0, op::ReleaseRange{W::one(0)});
  EXPECT_EQ(drain(0), Harm::stale_page) << "mapped still";
  write(0, W::slot(0), {});
  dsb(0, Dsb::ishst);
  EXPECT_EQ(answers(2, op::TakeReleased{}), (Answers{W::page(0).value}));
  EXPECT_EQ(perform(2, op::TakeReleased{}, W::page(0).value), Harm::stale_page);
}

// ---- interrupts, sections -----------------------------------------------------------------------------------

TEST_F(StepperTest, AMaskKeepsInterruptsOut) {
  perform(1, op::SendSgi{shadow::CpuSet::one(0), Level::interrupt});
  perform(1, op::SendSgi{shadow::CpuSet::one(0), Level::nmi});
  EXPECT_TRUE(stepper.may_interrupt(0, Level::interrupt));
  EXPECT_FALSE(stepper.may_interrupt(1, Level::interrupt));
  perform(0, op::SetMask{Mask::interrupts});
  EXPECT_FALSE(stepper.may_interrupt(0, Level::interrupt));
  EXPECT_TRUE(stepper.may_interrupt(0, Level::nmi)) << "a pseudo-NMI comes through";
  stepper.enter_interrupt(0, Level::nmi);
  EXPECT_FALSE(stepper.may_interrupt(0, Level::nmi)) << "it has been taken";
  stepper.leave_interrupt(0, Level::nmi);
  perform(0, op::SetMask{Mask::none});
  EXPECT_TRUE(stepper.may_interrupt(0, Level::interrupt));
}

TEST_F(StepperTest, AGracePeriodWaitsForThoseWhoAreInside) {
  perform(1, op::BeginSection{});
  perform(0, op::BeginGrace{});
  EXPECT_TRUE(waits(0, op::AwaitGrace{}));
  perform(2, op::BeginSection{});  // too late to be waited for
  perform(1, op::EndSection{});
  EXPECT_TRUE(waits(0, op::AwaitGrace{})) << "its end is not visible yet";
  drain(1);
  EXPECT_FALSE(waits(0, op::AwaitGrace{}));
}

TEST_F(StepperTest, ACallbackRunsWhenItsGracePeriodIsOver) {
  perform(1, op::BeginSection{});
  perform(0, op::FreeAfterGrace{W::page(6), machine::PageUse::data, 0});
  EXPECT_TRUE(stepper.ended_graces().empty());
  drain(0);
  EXPECT_TRUE(stepper.ended_graces().empty());
  perform(1, op::EndSection{});
  drain(1);
  ASSERT_EQ(stepper.ended_graces().size(), 1u);
  EXPECT_FALSE(stepper.run_callback(0));
  EXPECT_EQ(world.page_at(W::page(6))->usage.state, PageState::released);
}

TEST_F(StepperTest, ATableThatWasFoundInASectionIsInUseUntilItsEnd) {
  perform(1, op::SetMask{Mask::interrupts});
  perform(1, op::ReadOnce{W::pmd});
  EXPECT_FALSE(world.page_at(W::pte)->usage.walkers.empty());
  perform(1, op::SetMask{Mask::none});
  stepper.enter_interrupt(1, Level::interrupt);  // a handler runs when the end becomes visible
  drain(1);
  EXPECT_TRUE(world.page_at(W::pte)->usage.walkers.empty());
}

}  // namespace
}  // namespace shootdown::model
