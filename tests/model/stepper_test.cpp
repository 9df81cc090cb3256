// SPDX-License-Identifier: MIT
// What each operation does to a World: buffers and what becomes visible, locks, allocation, releases, hardware walks.
#include <gtest/gtest.h>

#include "machine/model/stepper.hpp"
#include "tests/negative/small_world.hpp"

namespace shootdown::model {
namespace {

using machine::Dsb;
using machine::Lock;
using machine::PageUse;
using shadow::Harm;
using W = SmallWorld;
using Words = std::vector<std::uint64_t>;

class StepperTest : public testing::Test {
 protected:
  W w{3};
  World& world = w.setup.world;
  Stepper stepper{w.setup, w.setup.world};

  static Harm harm(const Stepper::Verdict& v) { return v ? v->finding.harm : Harm::none; }
  Words answers(unsigned cpu, const Operation& op) {
    Words all;
    for (const Outcome& o : stepper.outcomes(cpu, op)) all.push_back(o.answer);
    return all;
  }
  bool waits(unsigned cpu, const Operation& op) { return stepper.outcomes(cpu, op).empty(); }
  /// In the first way that has this answer.
  Harm perform(unsigned cpu, const Operation& op, std::uint64_t answer = 0) {
    for (const Outcome& o : stepper.outcomes(cpu, op))
      if (o.answer == answer) return harm(stepper.perform(cpu, op, o));
    ADD_FAILURE() << "no such answer: " << answer;
    return Harm::none;
  }
  Harm write(unsigned cpu, PhysAddr slot, Descriptor d) { return perform(cpu, op::WriteOnce{slot, d}); }
  std::uint64_t read(unsigned cpu, PhysAddr slot) { return answers(cpu, op::ReadOnce{slot}).at(0); }
  Harm drain(unsigned cpu, unsigned index = 0) { return harm(stepper.drain(cpu, index)); }
  void drain_all(unsigned cpu) {
    while (!world.cpus[cpu].buffer.empty()) drain(cpu, stepper.drainable(cpu).at(0));
  }
  /// A barrier, after it has waited.
  void dsb(unsigned cpu, Dsb kind) {
    if (kind == Dsb::ish || kind == Dsb::ishst) drain_all(cpu);
    perform(cpu, op::Dsb{kind});
  }
  Harm free_table(unsigned cpu, PhysAddr page) {
    const Harm at_once = perform(cpu, op::FreePages{page, PageUse::table, 0});
    return world.cpus[cpu].buffer.empty() ? at_once : drain(cpu);
  }
};

// ---- buffers --------------------------------------------------------------------------------------------------

TEST_F(StepperTest, OthersSeeDrainedStoresOnly) {
  write(0, W::slot(0), {});
  EXPECT_EQ(read(0, W::slot(0)), 0u) << "its own youngest store";
  EXPECT_EQ(read(1, W::slot(0)), W::leaf(0).bits);
  EXPECT_TRUE(world.shadow.empty()) << "nothing has changed for a walker";
  drain(0);
  EXPECT_EQ(answers(1, op::ReadOnce{W::slot(0)}), (Words{0, W::leaf(0).bits})) << "or, early, what it was";
  EXPECT_FALSE(world.shadow.empty());
}

TEST_F(StepperTest, ItsOwnYoungestStoreOfTwo) {
  write(0, W::slot(0), {});
  write(0, W::slot(0), W::leaf(0));
  EXPECT_EQ(read(0, W::slot(0)), W::leaf(0).bits);
}

TEST_F(StepperTest, BuffersAreOrderedPerLocationOnly) {
  write(0, W::slot(0), {});
  write(0, W::slot(1), {});
  write(0, W::slot(0), W::leaf(0));
  EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0, 1})) << "not the second store to slot 0";
  drain(0, 1);
  EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0}));
}

TEST_F(StepperTest, FencesAndReleases) {
  write(0, W::slot(0), {});
  perform(0, op::Dmb{machine::Dmb::ishst});
  write(0, W::slot(1), {});
  EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0})) << "nothing passes a store barrier";
  drain(0);
  write(0, W::slot(2), {});
  perform(0, op::WriteOnce{W::slot(3), {}, machine::Order::release});
  write(0, W::spare, {});
  EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0, 1, 3}))
      << "a release waits, what is behind it does not";
}

TEST_F(StepperTest, WhatWaitsForTheBuffer) {
  const std::vector<std::pair<Operation, bool>> cases{{
      {op::Dsb{Dsb::ish}, true},
      {op::Dsb{Dsb::ishst}, true},
      {op::Dsb{Dsb::nsh}, false},
      {op::Dsb{Dsb::nshst}, false},
      {op::Dmb{machine::Dmb::ish}, true},
      {op::Dmb{machine::Dmb::ishst}, false},
      {op::Dmb{machine::Dmb::ishld}, false},
      {op::Isb{}, false},
      {op::Dmb{machine::Dmb::ish}, true},
      {op::Dmb{machine::Dmb::ishst}, false},
      {op::Dmb{machine::Dmb::ishld}, false},
      {op::FreePages{W::spare, PageUse::table, 0}, false},
  }};
  write(0, W::slot(0), {});
  for (const auto& [op, expected] : cases) EXPECT_EQ(waits(0, op), expected) << "operation " << op.index();
  EXPECT_FALSE(waits(1, op::Dsb{Dsb::ish})) << "another CPU's buffer";
}

TEST_F(StepperTest, AtomicsReadTheNewestAndReleaseWhenTheySucceed) {
  write(0, W::slot(1), {});
  const op::Cmpxchg right{W::slot(0), W::leaf(0), {}}, wrong{W::slot(0), Descriptor{1}, {}};
  EXPECT_TRUE(waits(0, right)) << "a release, behind its own store";
  EXPECT_FALSE(waits(0, wrong)) << "one that fails releases nothing";
  EXPECT_FALSE(waits(0, op::Cmpxchg{W::slot(0), W::leaf(0), {}, machine::Order::relaxed}));
  perform(0, wrong, W::leaf(0).bits);
  EXPECT_FALSE(world.cpus[0].buffer.empty());
  drain(0);
  perform(0, right, W::leaf(0).bits);
  EXPECT_EQ(read(1, W::slot(0)), 0u) << "seen at once";
  write(1, W::slot(2), {});
  EXPECT_TRUE(waits(1, op::FetchUpdate{W::slot(2), op::Update::set, 1, machine::Order::relaxed}))
      << "its own store to the word comes first";
}

TEST_F(StepperTest, AnUnlockIsAReleaseAndNoBarrier) {
  perform(0, op::TakeLock{Lock::memory_hotplug});
  write(0, W::slot(0), {});
  perform(0, op::DropLock{Lock::memory_hotplug});
  write(0, W::slot(1), {});
  EXPECT_TRUE(waits(1, op::TakeLock{Lock::memory_hotplug}));
  EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0, 2})) << "a later store may pass it";
  drain(0);
  drain(0);
  EXPECT_FALSE(waits(1, op::TakeLock{Lock::memory_hotplug}));
  EXPECT_EQ(perform(1, op::DropLock{Lock::memory_hotplug}), Harm::warning) << "not its own";
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
  const Operation lock = op::TakeLock{Lock::memory_hotplug},
                  shared = op::TakeLockShared{Lock::memory_hotplug};
  perform(0, shared);
  EXPECT_FALSE(waits(1, shared));
  EXPECT_TRUE(waits(1, lock));
  perform(1, shared);
  for (unsigned cpu : {0u, 1u}) {
    EXPECT_TRUE(waits(2, lock));
    perform(cpu, op::DropLockShared{Lock::memory_hotplug});
  }
  perform(2, lock);
  EXPECT_TRUE(waits(0, shared) && waits(0, lock));
  EXPECT_FALSE(waits(0, op::TakeLock{Lock::init_mm_page_table})) << "another lock";
}

TEST_F(StepperTest, AllocationReusesPagesWithWhatIsInThem) {
  Page& spare = *world.page_at(W::spare);
  spare.allocatable = true;
  spare.usage.state = PageState::released;
  world.memory.write(W::spare + 8, Descriptor{0x1234});
  const Operation alloc = op::AllocPages{PageUse::table, 0};
  EXPECT_EQ(answers(0, alloc), (Words{W::spare.value}));
  w.setup.allocation_may_fail = true;
  EXPECT_EQ(answers(0, alloc), (Words{W::spare.value, 0}));
  perform(0, alloc, W::spare.value);
  EXPECT_EQ(answers(0, alloc), (Words{0})) << "no more";
  perform(0, op::ClearPage{W::spare});
  EXPECT_EQ(read(0, W::spare + 8), 0u);
  EXPECT_EQ(world.memory.read(W::spare + 8).bits, 0x1234u) << "zeros are stores like any other";
}

TEST_F(StepperTest, AnyPageThatWasGivenBackMayComeAgain) {
  for (unsigned i : {5u, 6u}) {
    world.page_at(W::page(i))->allocatable = true;
    world.page_at(W::page(i))->usage.state = PageState::released;
  }
  EXPECT_EQ(answers(0, op::AllocPages{PageUse::data, 0}), (Words{W::page(5).value, W::page(6).value}));
}

TEST_F(StepperTest, DeferredPagesComeBackLastInFirstOut) {
  const Operation take = op::TakeDeferred{};
  for (PhysAddr page : {W::pte, W::spare}) perform(0, op::DeferFree{page, PageUse::table, 2});
  const auto first = from_word<machine::Deferred>(answers(0, take).at(0));
  EXPECT_EQ(first, (machine::Deferred{W::spare, PageUse::table, 2}));
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
  EXPECT_EQ(free_table(0, W::spare), Harm::none);
  EXPECT_EQ(perform(1, op::ReadOnce{W::spare}), Harm::walker_table);
  EXPECT_EQ(write(1, W::spare, {}), Harm::walker_table);
  EXPECT_THROW(perform(1, op::ReadOnce{PhysAddr(0x7000'0000)}), std::logic_error) << "no page at all";
  EXPECT_EQ(free_table(0, W::spare), Harm::warning) << "twice";
}

TEST_F(StepperTest, ATableFreedWhileLinkedIsStale) { EXPECT_EQ(free_table(0, W::pte), Harm::stale_table); }

TEST_F(StepperTest, AStoreThatLandsInAPageWithANewOwner) {
  write(0, W::spare, W::leaf(1));
  free_table(1, W::spare);
  EXPECT_EQ(drain(0), Harm::walker_table);
}

TEST_F(StepperTest, HardwareSetsFlagsThroughStaleTables) {
  w.setup.features.hardware_access_flag = true;
  Stepper hardware{w.setup, world};
  EXPECT_TRUE(hardware.flag_updates().empty()) << "no word without its flag";
  write(0, W::pmd, {});
  dsb(0, Dsb::ishst);
  world.page_at(W::pte)->usage = {.state = PageState::reused, .owner = 1};
  perform(1, op::DataStore{W::slot(2), 0x3});
  EXPECT_TRUE(hardware.flag_updates().empty()) << "not yet visible";
  drain(1);
  const auto updates = hardware.flag_updates();
  ASSERT_EQ(updates.size(), 1u);
  EXPECT_EQ(updates[0].slot, W::slot(2));
  const auto v = hardware.update_flag(updates[0]);
  EXPECT_EQ(world.memory.read(W::slot(2)).bits, 0x403u);
  ASSERT_TRUE(v);
  EXPECT_TRUE(v->hardware);
  EXPECT_EQ(v->finding.harm, Harm::stale_table);
}

TEST_F(StepperTest, HardwareSetsFlagsInLiveTables) {
  world.memory.write(W::slot(1), W::leaf(1, {.accessed = false}));
  EXPECT_TRUE(stepper.flag_updates().empty()) << "not without the feature";
  w.setup.features.hardware_access_flag = true;
  Stepper hardware{w.setup, world};
  ASSERT_EQ(hardware.flag_updates().size(), 1u);
  hardware.update_flag(hardware.flag_updates()[0]);
  EXPECT_EQ(world.memory.read(W::slot(1)), W::leaf(1, {}));
  EXPECT_TRUE(world.shadow.empty()) << "what was cached is what is there now";
}

TEST_F(StepperTest, TableFlagsWithHaftOnly) {
  w.setup.features.hardware_access_flag = true;
  Stepper hardware{w.setup, world};
  write(0, W::root, {});
  dsb(0, Dsb::ishst);
  EXPECT_TRUE(hardware.flag_updates().empty());
  w.setup.features.hardware_table_flag = true;
  ASSERT_EQ(hardware.flag_updates().size(), 1u);
  EXPECT_EQ(hardware.flag_updates()[0].slot, W::pmd) << "the table descriptor below the stale one";
}

TEST_F(StepperTest, LoadsReachTheCurrentAndTheStale) {
  world.memory.write(W::page(0), Descriptor{11});
  const Operation load = op::Load{W::at(0)};
  const std::uint64_t fault = fault_word(vmsa::Fault::translation, vmsa::page_level);
  EXPECT_EQ(answers(1, load), (Words{11}));
  write(0, W::slot(0), {});
  EXPECT_EQ(answers(1, load), (Words{11})) << "not visible yet";
  dsb(0, Dsb::ishst);
  EXPECT_EQ(answers(1, load), (Words{fault, 11}));
  perform(0, op::Tlbi{{.op = vmsa::vmalle1is}});
  dsb(0, Dsb::ish);
  EXPECT_EQ(answers(1, load), (Words{fault}));
  EXPECT_EQ(answers(0, load), (Words{fault, 11})) << "no ISB yet";
}

TEST_F(StepperTest, PermissionsDecideAccesses) {
  const std::uint64_t fault = fault_word(vmsa::Fault::permission, vmsa::page_level);
  world.memory.write(W::slot(0), W::leaf(0, {.read_only = true}));
  EXPECT_EQ(answers(0, op::Store{W::at(0), 1}), (Words{fault}));
  EXPECT_EQ(answers(0, op::Load{W::at(0), true}), (Words{fault})) << "the kernel's page, at EL0";
  EXPECT_EQ(answers(0, op::Fetch{W::at(0)}), (Words{fault})) << "never executable";
  EXPECT_EQ(answers(0, op::Load{W::at(0)}).size(), 1u);
}

TEST_F(StepperTest, APageGivenBackWhileMapped) {
  EXPECT_TRUE(waits(2, op::TakeReleased{}));
  EXPECT_EQ(perform(0, op::ReleaseRange{W::one(0)}), Harm::stale_page) << "its leaf is live";
  write(0, W::slot(0), {});
  dsb(0, Dsb::ishst);
  EXPECT_EQ(answers(2, op::TakeReleased{}), (Words{W::page(0).value}));
  EXPECT_EQ(perform(2, op::TakeReleased{}, W::page(0).value), Harm::stale_page) << "and stale";
}

TEST_F(StepperTest, MappingsThatStayByDesign) {
  w.setup.mapped_by_design = [](VirtAddr va) { return va == W::at(0); };
  EXPECT_EQ(perform(0, op::ReleaseRange{W::one(0)}), Harm::none);
}

}  // namespace
}  // namespace shootdown::model
