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

  Harm perform(unsigned cpu, const Op& op, std::uint64_t answer = 0) {
    const auto v = stepper.perform(cpu, op, answer);
    return v ? v->finding.harm : Harm::none;
  }
  void write(unsigned cpu, PhysAddr slot, Descriptor d) { perform(cpu, {OpKind::write, slot.value, d.bits}); }
  void dsb(unsigned cpu, Dsb kind) { perform(cpu, {OpKind::dsb, static_cast<std::uint64_t>(kind)}); }
  std::uint64_t read(unsigned cpu, PhysAddr slot) {
    return stepper.answers(cpu, {OpKind::read, slot.value}).at(0);
  }
  std::vector<std::uint64_t> answers(unsigned cpu, const Op& op) { return stepper.answers(cpu, op); }
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
  const std::array<std::pair<Op, bool>, 9> cases{{
      {{OpKind::dsb, static_cast<std::uint64_t>(Dsb::ish)}, true},
      {{OpKind::dsb, static_cast<std::uint64_t>(Dsb::ishst)}, true},
      {{OpKind::dsb, static_cast<std::uint64_t>(Dsb::nsh)}, false},
      {{OpKind::dsb, static_cast<std::uint64_t>(Dsb::nshst)}, false},
      {{OpKind::isb}, false},
      {{OpKind::unlock, 0}, true},
      {{OpKind::unlock_shared, 0}, true},
      {{OpKind::free, W::spare.value, 0, 0}, true},
      {{OpKind::release_range, W::page(7).value, W::page(8).value}, true},
  }};
  for (const auto& [op, drains] : cases) {
    W fresh(2);
    Stepper s(fresh.setup, fresh.setup.world);
    s.perform(0, {OpKind::write, W::slot(0).value, 0}, 0);
    s.perform(0, op, 0);
    EXPECT_EQ(fresh.setup.world.buffers[0].empty(), drains) << static_cast<int>(op.kind) << " " << op.a;
  }
}

TEST_F(StepperTest, CompareAndSwapIsSeenAtOnceIfItSucceeds) {
  write(0, W::slot(1), {});
  perform(0, {OpKind::cmpxchg, W::slot(0).value, 1, 0}, W::leaf(0).bits);  // expected something else
  EXPECT_EQ(read(1, W::slot(0)), W::leaf(0).bits);
  EXPECT_TRUE(world.buffers[0].empty()) << "release order all the same";
  perform(0, {OpKind::cmpxchg, W::slot(0).value, W::leaf(0).bits, 0}, W::leaf(0).bits);
  EXPECT_EQ(read(1, W::slot(0)), 0u);
}

TEST_F(StepperTest, LocksExcludeAndAreShared) {
  const Op lock{OpKind::lock, 0}, shared{OpKind::lock_shared, 0}, other{OpKind::lock, 1};
  EXPECT_EQ(answers(0, lock).size(), 1u);
  perform(0, shared);
  EXPECT_EQ(answers(1, shared).size(), 1u);
  EXPECT_TRUE(answers(1, lock).empty()) << "waits";
  perform(1, shared);
  perform(0, {OpKind::unlock_shared, 0});
  EXPECT_TRUE(answers(2, lock).empty());
  perform(1, {OpKind::unlock_shared, 0});
  perform(2, lock);
  EXPECT_TRUE(answers(0, shared).empty() && answers(0, lock).empty());
  EXPECT_EQ(answers(0, other).size(), 1u) << "another lock";
  perform(2, {OpKind::unlock, 0});
  EXPECT_EQ(answers(0, lock).size(), 1u);
}

TEST_F(StepperTest, AllocationReusesPagesWithWhatIsInThem) {
  Page& spare = *world.page_at(W::spare);
  spare.allocatable = true;
  spare.state = PageState::released;
  world.memory.write(W::spare + 8, Descriptor{0x1234});
  const Op alloc{OpKind::alloc, static_cast<std::uint64_t>(machine::PageUse::table), 0};
  EXPECT_EQ(answers(0, alloc), (std::vector<std::uint64_t>{W::spare.value}));
  w.setup.allocation_may_fail = true;
  EXPECT_EQ(answers(0, alloc), (std::vector<std::uint64_t>{W::spare.value, 0}));
  perform(0, alloc, W::spare.value);
  EXPECT_EQ(answers(0, alloc), (std::vector<std::uint64_t>{0})) << "no more";
  EXPECT_EQ(read(0, W::spare + 8), 0x1234u);
  perform(0, {OpKind::clear_page, W::spare.value});
  EXPECT_EQ(read(0, W::spare + 8), 0u);
  EXPECT_EQ(world.memory.read(W::spare + 8).bits, 0x1234u) << "zeros are stores like any other";
  dsb(0, Dsb::ishst);
  EXPECT_TRUE(world.memory.read(W::spare + 8).none());
}

TEST_F(StepperTest, DeferredPagesComeBackLastInFirstOut) {
  const Op take{OpKind::take_deferred};
  EXPECT_EQ(answers(0, take).at(0), 0u);
  for (PhysAddr page : {W::pte, W::spare})
    perform(0, {OpKind::defer, pack_page(page, machine::PageUse::table, 2)});
  const auto first = unpack_page(answers(0, take).at(0));
  EXPECT_EQ(first.page, W::spare);
  EXPECT_EQ(first.order, 2u);
  perform(0, take, answers(0, take).at(0));
  EXPECT_EQ(unpack_page(answers(0, take).at(0)).page, W::pte);
  EXPECT_EQ(answers(1, take).at(0), 0u) << "a list for each CPU";
}

TEST_F(StepperTest, MemblockAnswersPfnValid) {
  const Op valid{OpKind::pfn_valid, W::page(0).value};
  EXPECT_EQ(answers(0, valid).at(0), 0u);
  perform(0, {OpKind::memblock_add, W::page(0).value, W::page(4).value});
  EXPECT_EQ(answers(0, valid).at(0), 1u);
  perform(0, {OpKind::memblock_remove, W::page(0).value, W::page(4).value});
  EXPECT_EQ(answers(0, valid).at(0), 0u);
}

TEST_F(StepperTest, AWalkerInAFreedTableIsHarmed) {
  EXPECT_EQ(perform(1, {OpKind::read, W::spare.value}), Harm::none);
  EXPECT_EQ(perform(0, {OpKind::free, W::spare.value, 0, 0}), Harm::none);
  EXPECT_EQ(perform(1, {OpKind::read, W::spare.value}), Harm::walker_table);
  EXPECT_EQ(perform(1, {OpKind::write, W::spare.value, 0}), Harm::walker_table);
  EXPECT_THROW(perform(1, {OpKind::read, 0x7000'0000}), std::logic_error) << "no page at all";
}

TEST_F(StepperTest, ATableFreedWhileLinkedIsStale) {
  EXPECT_EQ(perform(0, {OpKind::free, W::pte.value, 0, 0}), Harm::stale_table);
}

TEST_F(StepperTest, HardwareSetsFlagsThroughStaleTablesOnly) {
  w.setup.features.hardware_access_flag = true;
  EXPECT_TRUE(stepper.flag_updates().empty());
  write(0, W::pmd, {});
  dsb(0, Dsb::ishst);
  EXPECT_TRUE(stepper.flag_updates().empty()) << "no word without its flag";
  perform(1, {OpKind::data_store, W::slot(2).value, 0x3});
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
  const Op load{OpKind::load, W::at(0).value};
  EXPECT_EQ(answers(1, load), (std::vector<std::uint64_t>{11}));
  write(0, W::slot(0), {});
  EXPECT_EQ(answers(1, load), (std::vector<std::uint64_t>{11})) << "not visible yet";
  dsb(0, Dsb::ishst);
  EXPECT_EQ(answers(1, load), (std::vector<std::uint64_t>{response_fault, 11}));
  Op flush{OpKind::tlbi};
  flush.tlbi.op = vmsa::vmalle1is;
  perform(0, flush);
  dsb(0, Dsb::ish);
  EXPECT_EQ(answers(1, load), (std::vector<std::uint64_t>{response_fault}));
  EXPECT_EQ(answers(0, load), (std::vector<std::uint64_t>{response_fault, 11})) << "no ISB yet";
}

TEST_F(StepperTest, ReusedPagesAreJudgedAgain) {
  EXPECT_TRUE(answers(2, {OpKind::take_released}).empty()) << "waits";
  EXPECT_EQ(perform(0, {OpKind::release_range, W::page(0).value, W::page(1).value}), Harm::none)
      << "mapped: live";
  write(0, W::slot(0), {});
  dsb(0, Dsb::ishst);
  EXPECT_EQ(answers(2, {OpKind::take_released}), (std::vector<std::uint64_t>{W::page(0).value}));
  EXPECT_EQ(perform(2, {OpKind::take_released}, W::page(0).value), Harm::stale_page);
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
    Op flush{OpKind::tlbi};
    flush.tlbi = {.op = vmsa::tlbi_ops[draw(20)], .va = W::at(page)};
    switch (draw(9)) {
      case 0: write(cpu, W::slot(page), {}); break;
      case 1: write(cpu, W::slot(page), W::leaf(page)); break;
      case 2:
        if (!world.buffers[cpu].empty()) stepper.drain(cpu, stepper.drainable(cpu).at(0));
        break;
      case 3: perform(cpu, flush); break;
      case 4: dsb(cpu, static_cast<Dsb>(draw(4))); break;
      case 5: perform(cpu, {OpKind::isb}); break;
      case 6: perform(cpu, {OpKind::defer, pack_page(W::spare, machine::PageUse::table, 0)}); break;
      case 7:
        world.locks[draw(2)] = {static_cast<std::uint8_t>(draw(4)), static_cast<std::uint8_t>(draw(8))};
        break;
      default: perform(cpu, {OpKind::memblock_add, W::page(page).value, W::page(page + 1).value}); break;
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
    EXPECT_EQ(p.pending(a).kind, OpKind::isb);
    EXPECT_EQ(p.audit(), "");
  }
}

TEST(Mutations, EveryWeakeningOfEachOperation) {
  auto count = [](const Op& op) { return weakenings(op).size(); };
  EXPECT_EQ(count({OpKind::read}), 0u);
  EXPECT_EQ(count({OpKind::write}), 0u);
  EXPECT_EQ(count({OpKind::isb}), 1u);
  EXPECT_EQ(count({OpKind::clear_page}), 1u);
  EXPECT_EQ(count({OpKind::dsb, static_cast<std::uint64_t>(Dsb::ish)}), 3u);
  EXPECT_EQ(count({OpKind::dsb, static_cast<std::uint64_t>(Dsb::ishst)}), 2u);
  for (const vmsa::TlbiOp kind : vmsa::tlbi_ops) {
    Op op{OpKind::tlbi};
    op.tlbi = {.op = kind, .va = W::at(0), .pages = 4};
    for (Weakening weakening : weakenings(op)) {
      const auto instead = weaken(op, weakening);
      EXPECT_EQ(instead.empty(), weakening == Weakening::drop) << name(weakening);
      EXPECT_FALSE(kind.broadcast && !instead.empty() && instead[0] == op) << name(weakening);
    }
  }
}

TEST(Mutations, ApplyAtTheirSiteAlone) {
  const Mutation m{Weakening::drop, {{"outer", "inner"}, 7}, OpKind::dsb};
  EXPECT_TRUE(m.applies({{"outer", "inner"}, 7}, OpKind::dsb));
  EXPECT_FALSE(m.applies({{"outer", "inner"}, 8}, OpKind::dsb));
  EXPECT_FALSE(m.applies({{"inner"}, 7}, OpKind::dsb));
  EXPECT_FALSE(m.applies({{"outer", "inner"}, 7}, OpKind::isb));
}

}  // namespace
}  // namespace shootdown::model
