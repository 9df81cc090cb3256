// SPDX-License-Identifier: MIT
// What each operation does to a World: buffers and drains, locks, allocation, releases, hardware walks.
#include <random>

#include <gtest/gtest.h>

#include "machine/model/codec.hpp"
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

  Harm perform(unsigned cpu, const Operation& op, std::uint64_t answer = 0) {
    const auto v = stepper.perform(cpu, op, answer);
    return v ? v->finding.harm : Harm::none;
  }
  void write(unsigned cpu, PhysAddr slot, Descriptor d) { perform(cpu, op::WriteOnce{slot, d}); }
  void dsb(unsigned cpu, Dsb kind) { perform(cpu, op::Dsb{kind}); }
  std::uint64_t read(unsigned cpu, PhysAddr slot) { return stepper.answers(cpu, op::ReadOnce{slot}).at(0); }
  std::vector<std::uint64_t> answers(unsigned cpu, const Operation& op) { return stepper.answers(cpu, op); }
};

TEST_F(StepperTest, OthersSeeDrainedStoresOnly) {
  write(0, W::slot(0), {});
  EXPECT_EQ(read(0, W::slot(0)), 0u) << "its own youngest store";
  EXPECT_EQ(read(1, W::slot(0)), W::leaf(0).bits);
  EXPECT_TRUE(world.shadow.empty()) << "nothing has changed for a walker";
  stepper.drain(0, 0);
  EXPECT_EQ(read(1, W::slot(0)), 0u);
  EXPECT_FALSE(world.shadow.empty());
}

TEST_F(StepperTest, BuffersAreOrderedPerLocationOnly) {
  write(0, W::slot(0), {});
  write(0, W::slot(1), {});
  write(0, W::slot(0), W::leaf(0));
  EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0, 1})) << "not the second store to slot 0";
  stepper.drain(0, 1);
  EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0}));
  stepper.drain(0, 0);
  EXPECT_EQ(stepper.drainable(0), (std::vector<unsigned>{0}));
}

TEST_F(StepperTest, WhatDrains) {
  const std::array<std::pair<Operation, bool>, 9> cases{{
      {op::Dsb{Dsb::ish}, true},
      {op::Dsb{Dsb::ishst}, true},
      {op::Dsb{Dsb::nsh}, false},
      {op::Dsb{Dsb::nshst}, false},
      {op::Isb{}, false},
      {op::DropLock{machine::Lock::memory_hotplug}, true},
      {op::DropLockShared{machine::Lock::memory_hotplug}, true},
      {op::FreePages{W::spare, machine::PageUse::table, 0}, true},
      {op::ReleaseRange{W::one(7)}, true},
  }};
  for (const auto& [op, drains] : cases) {
    W fresh(2);
    Stepper s(fresh.setup, fresh.setup.world);
    s.perform(0, op::WriteOnce{W::slot(0), {}}, 0);
    s.perform(0, op, 0);
    EXPECT_EQ(fresh.setup.world.buffers[0].empty(), drains) << "operation " << op.index();
  }
}

TEST_F(StepperTest, CompareAndSwapIsSeenAtOnceIfItSucceeds) {
  write(0, W::slot(1), {});
  perform(0, op::Cmpxchg{W::slot(0), Descriptor{1}, {}}, W::leaf(0).bits);  // expected something else
  EXPECT_EQ(read(1, W::slot(0)), W::leaf(0).bits);
  EXPECT_TRUE(world.buffers[0].empty()) << "release order all the same";
  perform(0, op::Cmpxchg{W::slot(0), W::leaf(0), {}}, W::leaf(0).bits);
  EXPECT_EQ(read(1, W::slot(0)), 0u);
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
  EXPECT_TRUE(answers(2, lock).empty());
  perform(1, op::DropLockShared{machine::Lock::memory_hotplug});
  perform(2, lock);
  EXPECT_TRUE(answers(0, shared).empty() && answers(0, lock).empty());
  EXPECT_EQ(answers(0, other).size(), 1u) << "another lock";
  perform(2, op::DropLock{machine::Lock::memory_hotplug});
  EXPECT_EQ(answers(0, lock).size(), 1u);
}

TEST_F(StepperTest, AllocationReusesPagesWithWhatIsInThem) {
  Page& spare = *world.page_at(W::spare);
  spare.allocatable = true;
  spare.state = PageState::released;
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
  const auto first = unpack_page(answers(0, take).at(0));
  EXPECT_EQ(first.page, W::spare);
  EXPECT_EQ(first.order, 2u);
  perform(0, take, answers(0, take).at(0));
  EXPECT_EQ(unpack_page(answers(0, take).at(0)).page, W::pte);
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
  EXPECT_EQ(perform(1, op::ReadOnce{W::spare}), Harm::walker_table);
  EXPECT_EQ(perform(1, op::WriteOnce{W::spare, {}}), Harm::walker_table);
  EXPECT_THROW(perform(1, op::ReadOnce{PhysAddr(0x7000'0000)}), std::logic_error) << "no page at all";
}

TEST_F(StepperTest, ATableFreedWhileLinkedIsStale) {
  EXPECT_EQ(perform(0, op::FreePages{W::pte, machine::PageUse::table, 0}), Harm::stale_table);
}

TEST_F(StepperTest, HardwareSetsFlagsThroughStaleTablesOnly) {
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
  EXPECT_EQ(answers(1, load), (std::vector<std::uint64_t>{11}));
  write(0, W::slot(0), {});
  EXPECT_EQ(answers(1, load), (std::vector<std::uint64_t>{11})) << "not visible yet";
  dsb(0, Dsb::ishst);
  EXPECT_EQ(answers(1, load), (std::vector<std::uint64_t>{response_fault, 11}));
  op::Tlbi flush{};
  flush.tlbi.op = vmsa::vmalle1is;
  perform(0, flush);
  dsb(0, Dsb::ish);
  EXPECT_EQ(answers(1, load), (std::vector<std::uint64_t>{response_fault}));
  EXPECT_EQ(answers(0, load), (std::vector<std::uint64_t>{response_fault, 11})) << "no ISB yet";
}

TEST_F(StepperTest, ReusedPagesAreJudgedAgain) {
  EXPECT_TRUE(answers(2, op::TakeReleased{}).empty()) << "waits";
  EXPECT_EQ(perform(0, op::ReleaseRange{W::one(0)}), Harm::none) << "mapped: live";
  write(0, W::slot(0), {});
  dsb(0, Dsb::ishst);
  EXPECT_EQ(answers(2, op::TakeReleased{}), (std::vector<std::uint64_t>{W::page(0).value}));
  EXPECT_EQ(perform(2, op::TakeReleased{}, W::page(0).value), Harm::stale_page);
}

TEST_F(StepperTest, EveryWorldSurvivesTheCodec) {
  World again = world;
  auto same = [&] {
    for (Part part : parts) {
      Words before, after;
      encode(part, world, before);
      decode(part, before, again);
      encode(part, again, after);
      if (before != after) return false;
    }
    return again.memory.words() == world.memory.words() && again.buffers == world.buffers &&
           again.deferred == world.deferred && again.memblock == world.memblock &&
           again.shadow.size() == world.shadow.size();
  };
  std::mt19937 random(1);
  auto draw = [&](unsigned below) { return std::uniform_int_distribution<unsigned>(0, below - 1)(random); };
  for (unsigned i = 0; i < 2000; ++i) {
    const unsigned cpu = draw(3), page = draw(4);
    op::Tlbi flush{};
    flush.tlbi = {.op = vmsa::tlbi_ops[draw(20)], .va = W::at(page)};
    switch (draw(9)) {
      case 0: write(cpu, W::slot(page), {}); break;
      case 1: write(cpu, W::slot(page), W::leaf(page)); break;
      case 2:
        if (!world.buffers[cpu].empty()) stepper.drain(cpu, stepper.drainable(cpu).at(0));
        break;
      case 3: perform(cpu, flush); break;
      case 4: dsb(cpu, static_cast<Dsb>(draw(4))); break;
      case 5: perform(cpu, op::Isb{}); break;
      case 6: perform(cpu, op::DeferFree{W::spare, machine::PageUse::table, 0}); break;
      case 7:
        world.locks[draw(2)] = {static_cast<std::uint8_t>(draw(4)), static_cast<std::uint8_t>(draw(8))};
        break;
      default: perform(cpu, op::MemblockAdd{W::one(page)}); break;
    }
    if (world.memblock.size() > 4) world.memblock.clear();
    if (world.deferred[cpu].size() > 4) world.deferred[cpu].clear();
    ASSERT_TRUE(same()) << i;
  }
}

TEST(Interner, FindsWhatItInterned) {
  Interner interner;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::array<std::uint64_t, 2> words{i, i * i};
    EXPECT_EQ(interner.find(words), Interner::unknown);
    EXPECT_EQ(interner.intern(words), i);
  }
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::array<std::uint64_t, 2> words{i, i * i};
    EXPECT_EQ(interner.find(words), i);
    EXPECT_EQ(interner.intern(words), i);
  }
}

TEST(Procedure, WhatHasReturnedIsItsResult) {
  auto task = [](bool returns) {
    return [returns](ModelMachine& m) {
      {
        machine::Scope<ModelMachine, std::uint64_t> scope(m, "asks");
        const std::uint64_t chosen = m.choose(3);
        (void)scope.leave(returns ? chosen : std::uint64_t{0});
      }
      m.isb();
    };
  };
  for (bool returns : {false, true}) {
    Procedure p(task(returns), {0, 1, {}, W::root, nullptr});
    p.keep_logs();
    const auto a = p.step(p.start(), 0), b = p.step(p.start(), 1);
    EXPECT_EQ(a == b, !returns);
    EXPECT_EQ(kind(p.pending(a)), kind_of<op::Isb>);
    EXPECT_EQ(p.audit(), "");
  }
}

TEST(Mutations, EveryWeakeningOfEachOperation) {
  auto count = [](const Operation& op) { return weakenings(op).size(); };
  EXPECT_EQ(count(op::ReadOnce{}), 0u);
  EXPECT_EQ(count(op::WriteOnce{}), 0u);
  EXPECT_EQ(count(op::Isb{}), 1u);
  EXPECT_EQ(count(op::ClearPage{}), 1u);
  EXPECT_EQ(count(op::Dsb{Dsb::ish}), 3u);
  EXPECT_EQ(count(op::Dsb{Dsb::ishst}), 2u);
  for (const vmsa::TlbiOp kind : vmsa::tlbi_ops) {
    op::Tlbi op{};
    op.tlbi = {.op = kind, .va = W::at(0), .pages = 4};
    for (Weakening weakening : weakenings(op)) {
      const auto instead = weaken(op, weakening);
      EXPECT_EQ(instead.empty(), weakening == Weakening::drop) << name(weakening);
      EXPECT_FALSE(kind.broadcast && !instead.empty() && instead[0] == op) << name(weakening);
    }
  }
}

TEST(Mutations, ApplyAtTheirSiteAlone) {
  const Mutation m{Weakening::drop, {{"outer", "inner"}, 7}, kind_of<op::Dsb>};
  EXPECT_TRUE(m.applies({{"outer", "inner"}, 7}, kind_of<op::Dsb>));
  EXPECT_FALSE(m.applies({{"outer", "inner"}, 8}, kind_of<op::Dsb>));
  EXPECT_FALSE(m.applies({{"inner"}, 7}, kind_of<op::Dsb>));
  EXPECT_FALSE(m.applies({{"outer", "inner"}, 7}, kind_of<op::Isb>));
}

}  // namespace
}  // namespace shootdown::model
