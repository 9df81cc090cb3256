// SPDX-License-Identifier: MIT
// The search itself, on systems so small that the answer is known: shortest paths, exhaustion, bounds, replay.
#include <gtest/gtest.h>

#include "explore/kept_steps.hpp"
#include "explore/search.hpp"
#include "tests/negative/small_world.hpp"

namespace shootdown::explore {
namespace {

using model::ModelMachine;
using model::System;
using model::Task;
using shadow::Harm;
using W = model::SmallWorld;

model::Setup setup(std::vector<Task> tasks) {
  W w(static_cast<unsigned>(tasks.size()));
  w.setup.tasks = std::move(tasks);
  return std::move(w.setup);
}
/// Takes `steps` choices of one out of `width`, then reports a harm if all were `bad`.
Task chooser(unsigned steps, std::uint64_t width, std::uint64_t bad) {
  return [=](ModelMachine& m) {
    bool all = true;
    for (unsigned i = 0; i < steps; ++i) all = m.choose(width) == bad && all;
    if (all) m.unexpected_fault(W::at(0));
  };
}

TEST(Search, FindsTheShortestPath) {
  // Two ways to the same harm: three steps of CPU 0, or two of CPU 1.
  System s(setup({chooser(2, 2, 1), chooser(1, 2, 1)}));
  const auto r = search(s, s.initial(), {});
  ASSERT_EQ(r.ending, Ending::violation);
  EXPECT_EQ(r.path.size(), 2u);
  for (const Choice c : r.path) EXPECT_EQ(c.agent(), 1u);
}

TEST(Search, ExhaustsAndCounts) {
  // One CPU, n binary choices that all matter: a full binary tree, 2^(n+1) - 1 states.
  System s(setup({chooser(6, 2, 9)}));
  std::uint64_t ends = 0;
  const auto r = search(s, s.initial(), {}, [&](const System::State&) { ++ends; });
  EXPECT_EQ(r.ending, Ending::exhausted);
  EXPECT_EQ(r.end_states, ends);
  EXPECT_EQ(r.transitions, 126u);
  EXPECT_GE(r.states, 64u);
  EXPECT_LE(r.states, 127u) << "finished runs are one state";
  EXPECT_EQ(r.depth, 6u);
}

TEST(Search, FollowsWhatItFound) {
  System s(setup({chooser(3, 3, 2), chooser(3, 3, 2)}));
  const auto r = search(s, s.initial(), {});
  ASSERT_EQ(r.ending, Ending::violation);
  const auto timeline = follow(s, s.initial(), r.path, model::Judge::everything);
  ASSERT_EQ(timeline.size(), r.path.size());
  for (std::size_t i = 0; i + 1 < timeline.size(); ++i)
    for (const auto& e : timeline[i].events) EXPECT_FALSE(e.violation);
  ASSERT_TRUE(timeline.back().events.back().violation);
  EXPECT_EQ(timeline.back().events.back().violation->finding.harm, Harm::unexpected_fault);
  System other(setup({chooser(3, 3, 2), chooser(3, 3, 2)}));
  EXPECT_EQ(search(other, other.initial(), {}).path, r.path) << "the same each time";
}

TEST(Search, StopsAtAChoiceThatDoesNotExist) {
  System s(setup({chooser(2, 2, 9)}));
  EXPECT_TRUE(follow(s, s.initial(), {Choice(0, 5)}, model::Judge::everything).empty());
  EXPECT_TRUE(follow(s, s.initial(), {Choice(3, 0)}, model::Judge::everything).empty()) << "no such CPU";
  EXPECT_EQ(follow(s, s.initial(), {Choice(0, 1), Choice(0, 7)}, model::Judge::everything).size(), 1u);
}

TEST(Search, AStateWithMoreSuccessorsThanAChoiceCanNameIsAnError) {
  constexpr std::uint64_t none = ~std::uint64_t{0};
  System most(setup({chooser(1, Choice::max_ordinal + 1, none)}));
  EXPECT_EQ(search(most, most.initial(), {}).ending, Ending::exhausted);
  System more(setup({chooser(1, Choice::max_ordinal + 2, none)}));
  EXPECT_THROW(search(more, more.initial(), {}), std::length_error);
}

TEST(KeptSteps, AreRecalledWholeUntilTheyAreWrittenOver) {
  auto steps_of = [](model::Env env) {
    KeptSteps::Steps steps;
    for (std::uint32_t i = 0; i < 3 + env % 5; ++i) steps.push_back({env + i, i, i % 2});
    return steps;
  };
  KeptSteps kept;
  constexpr model::Env many = 300'000;  // some three times what the ring holds
  for (model::Env env = 0; env < many; ++env) {
    const auto steps = steps_of(env);
    kept.keep(env, {{1, env, 2}, {3, 7, static_cast<std::uint32_t>(steps.size()) - 2}}, steps);
  }
  unsigned known = 0;
  for (model::Env env = 0; env < many + 10; ++env) {
    std::vector<StepsOf> who;
    KeptSteps::Steps steps;
    kept.recall(env, who, steps);
    if (who.empty()) {
      EXPECT_TRUE(steps.empty()) << env;
      continue;
    }
    ++known;
    const auto expected = steps_of(env);
    ASSERT_EQ(who.size(), 2u) << env;
    EXPECT_TRUE(who[0].agent == 1 && who[0].local == env && who[0].count == 2) << env;
    EXPECT_TRUE(who[1].agent == 3 && who[1].local == 7 && who[1].count == expected.size() - 2) << env;
    ASSERT_EQ(steps.size(), expected.size()) << env;
    for (std::size_t i = 0; i < steps.size(); ++i)
      EXPECT_TRUE(steps[i].env == expected[i].env && steps[i].local == expected[i].local &&
                  steps[i].violates == expected[i].violates)
          << env;
  }
  EXPECT_GT(known, many / 5) << "the newest";
  EXPECT_LT(known, many) << "not the oldest";
}

TEST(Search, BoundsAreNamed) {
  const auto big = [] { return setup({chooser(9, 3, 9), chooser(5, 3, 9)}); };
  SearchOptions options;
  options.bounds.states = 1000;
  System a(big());
  const SearchResult bounded = search(a, a.initial(), options);
  EXPECT_EQ(bounded.ending, Ending::states_bound);
  EXPECT_GT(bounded.states, 1000u);
  EXPECT_LT(bounded.states, 1300u);
  options.bounds = {.states = 50'000'000, .bytes = 1};
  System b(big());
  EXPECT_EQ(search(b, b.initial(), options).ending, Ending::memory_bound);
  const std::atomic<bool> stop{true};
  options = {};
  options.stop = &stop;
  System c(big());
  EXPECT_EQ(search(c, c.initial(), options).ending, Ending::interrupted);
}

TEST(Search, CpusThatWaitForEachOtherAreAHarm) {
  using machine::Lock;
  auto locks = [](Lock a, Lock b) {
    return [=](ModelMachine& m) { m.lock(a), m.lock(b), m.unlock(b), m.unlock(a); };
  };
  System s(setup({locks(Lock::memory_hotplug, Lock::init_mm_page_table),
                  locks(Lock::init_mm_page_table, Lock::memory_hotplug)}));
  const auto r = search(s, s.initial(), {});
  ASSERT_EQ(r.ending, Ending::violation);
  EXPECT_TRUE(r.at_end);
  EXPECT_EQ(r.path.size(), 2u) << "one lock each";
  const auto timeline = follow(s, s.initial(), r.path, model::Judge::everything);
  EXPECT_EQ(s.judge_end(timeline.back().after)->finding.harm, Harm::deadlock);
}

TEST(Search, WaitingForSomethingToReuseIsNone) {
  System s(setup({[](ModelMachine& m) { m.take_released(); }}));
  EXPECT_EQ(search(s, s.initial(), {}).ending, Ending::exhausted);
}

TEST(Search, TheFinalCheckSeesFinishedRunsOnly) {
  model::Setup with = setup({chooser(2, 2, 9)});
  unsigned seen = 0;
  with.final_check = [&](const model::World&) -> std::optional<shadow::Finding> {
    ++seen;
    shadow::Finding f;
    f.harm = Harm::leak;
    return f;
  };
  System s(std::move(with));
  const auto r = search(s, s.initial(), {});
  EXPECT_EQ(r.ending, Ending::violation);
  EXPECT_TRUE(r.at_end);
  EXPECT_EQ(seen, 1u);
}

TEST(StateStore, KeepsStatesExactly) {
  StateStore store(1);
  System::State first{};
  store.insert(first);
  std::vector<System::State> expected{first};
  for (unsigned round = 0; round < 2; ++round)  // the second time everything is known
    for (std::uint32_t env = 1; env < 60; ++env)
      for (std::uint32_t local : {0u, 7u, 100'000u, 3'000'000u}) {
        store.reach(0, Choice(0, env), {env, local, 0, 0});
        System::State s{env, {}};
        s.locals[0] = local;
        if (round == 0) expected.push_back(s);
      }
  store.settle();
  ASSERT_EQ(store.size(), expected.size());
  for (std::uint32_t i = 0; i < expected.size(); ++i) EXPECT_EQ(store[i], expected[i]) << i;
}

TEST(StateStore, TheFirstWayToAStateStays) {
  StateStore store(1);
  store.insert(System::State{});
  store.reach(0, Choice(0, 3), {1, 1, 0, 0});
  store.settle();
  store.reach(1, Choice(0, 4), {2, 2, 0, 0});
  store.reach(0, Choice(0, 5), {2, 2, 0, 0});
  store.settle();
  ASSERT_EQ(store.size(), 3u);
  EXPECT_EQ(store.parent(2), 1u);
  EXPECT_EQ(store.choice(2), Choice(0, 4));
}

TEST(StateStore, AFullPackingIsAnErrorAndNoSilentMerge) {
  StateStore store(1);
  store.insert(System::State{});
  EXPECT_THROW(
      {
        for (std::uint32_t local = 0; local < 0x20000; ++local)
          store.reach(0, Choice(0, 0), {0, local, 0, 0});
      },
      std::length_error);
}

}  // namespace
}  // namespace shootdown::explore
