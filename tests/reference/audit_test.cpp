// SPDX-License-Identifier: MIT
// What the explorer takes for one state of a procedure must be one: audited on the real procedures, and refuted
// on planted ones that hide something from it.
#include <gtest/gtest.h>

#include "explore/search.hpp"
#include "scenario/hot_remove.hpp"
#include "tests/reference/same_system.hpp"
#include "tests/reference/teardown_case.hpp"

namespace shootdown::reference {
namespace {

using model::ModelMachine;

/// The first disagreement in any CPU's procedure after a full search.
std::string audited(model::Setup setup) {
  model::System system(std::move(setup));
  for (unsigned cpu = 0; cpu < system.cpu_count(); ++cpu) system.procedure(cpu).keep_logs();
  EXPECT_EQ(explore_all(system).ending, explore::Ending::exhausted);
  for (unsigned cpu = 0; cpu < system.cpu_count(); ++cpu)
    if (auto found = system.procedure(cpu).audit(); !found.empty()) return found;
  return {};
}

/// One CPU that chooses among three, and what `task` does with it.
std::string audited(model::Task task) {
  model::Setup setup = set_up(TeardownSetup{.table_count = 1});
  setup.tasks = {std::move(task)};
  return audited(std::move(setup));
}

TEST(Audit, TheTeardownsOfTheReferencePass) {
  EXPECT_EQ(audited(set_up(TeardownSetup{.load_from = {6, 9, 6, 9}, .loaders = 2})), "");
  EXPECT_EQ(audited(set_up(TeardownSetup{.tables = mm::TableFree::before_flush,
                                         .table_count = 1,
                                         .load_from = {0, 6},
                                         .loaders = 1,
                                         .reusers = 1,
                                         .words = 3})),
            "");
}

struct HotRemove : ::testing::TestWithParam<std::tuple<unsigned, unsigned>> {};

TEST_P(HotRemove, EveryProcedurePasses) {
  const auto [strategy, page_shift] = GetParam();
  for (const scenario::Path path : {scenario::Path::linear, scenario::Path::vmemmap}) {
    scenario::HotRemoveConfig c;
    c.strategy = mm::strategies[strategy];
    c.real = vmsa::regime(page_shift, page_shift == 14 ? 47 : 48);
    c.cpus = 2;
    c.path = path;
    if (!c.real.vmemmap_uses_blocks()) c.vmemmap = scenario::VmemmapKind::pages;
    EXPECT_EQ(audited(scenario::set_up(c)), "") << c.strategy.name << " " << scenario::name(path);
  }
}

INSTANTIATE_TEST_SUITE_P(AllStrategies, HotRemove,
                         ::testing::Combine(::testing::Range(0u, unsigned{mm::strategies.size()}),
                                            ::testing::Values(12u, 16u)));

// ---- planted --------------------------------------------------------------------------------------------------

/// Changes its caller's variable and returns nothing.
void choose_behind_the_back(ModelMachine& m, std::uint64_t& chosen) {
  machine::Scope scope(m, "choose_behind_the_back");
  chosen = m.choose(3);
}

TEST(Audit, AVariableChangedByReferenceIsFound) {
  EXPECT_NE(audited([](ModelMachine& m) {
              std::uint64_t chosen = 0;
              choose_behind_the_back(m, chosen);
              m.isb();
              m.data_store(detail::PhysAddr(detail::data_pages), chosen);
            }),
            "");
}

TEST(Audit, ItIsFoundWhenItShowsOnlyMuchLater) {
  EXPECT_NE(audited([](ModelMachine& m) {
              std::uint64_t chosen = 0;
              choose_behind_the_back(m, chosen);
              for (int i = 0; i < 5; ++i) m.isb();
              if (chosen == 2) m.dsb(machine::Dsb::ish);
              m.isb();
            }),
            "");
}

TEST(Audit, ALiveValueLeftOutIsFound) {
  auto sum = [](ModelMachine& m, bool all) {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < 3; ++i) {
      if (all)
        m.live({i, sum});
      else
        m.live({i});
      sum += m.choose(2);
    }
    m.data_store(detail::PhysAddr(detail::data_pages), sum);
  };
  EXPECT_EQ(audited([&](ModelMachine& m) { sum(m, true); }), "");
  EXPECT_NE(audited([&](ModelMachine& m) { sum(m, false); }), "");
}

TEST(Audit, AStaticVariableIsFound) {
  static std::uint64_t runs;
  runs = 0;
  EXPECT_NE(audited([](ModelMachine& m) {
              if (m.choose(2) == 0) ++runs;
              m.isb();
              m.data_store(detail::PhysAddr(detail::data_pages), runs);
            }),
            "");
}

TEST(Audit, WhatAFunctionReturnsIsEnough) {
  EXPECT_EQ(audited([](ModelMachine& m) {
              auto choose = [&] {
                machine::Scope<ModelMachine, std::uint64_t> scope(m, "choose");
                return scope.leave(m.choose(3));
              };
              const std::uint64_t chosen = choose();
              m.isb();
              m.data_store(detail::PhysAddr(detail::data_pages), chosen);
            }),
            "");
}

}  // namespace
}  // namespace shootdown::reference
