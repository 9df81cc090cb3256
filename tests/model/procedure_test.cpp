// SPDX-License-Identifier: MIT
// Procedures as state machines, what interns their states, and the weakenings that a campaign tries on them.
#include <gtest/gtest.h>

#include "machine/model/interner.hpp"
#include "machine/model/procedure.hpp"
#include "tests/negative/small_world.hpp"

namespace shootdown::model {
namespace {

using machine::Dsb;
using W = SmallWorld;

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
  auto words = [](const Operation& op) {
    std::vector<std::uint64_t> all;
    append_words(op, all);
    return all;
  };
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
      EXPECT_FALSE(kind.broadcast && !instead.empty() && words(instead[0]) == words(op)) << name(weakening);
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
