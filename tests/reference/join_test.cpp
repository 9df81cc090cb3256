// SPDX-License-Identifier: MIT
// Reductions change what is visited, never what is found: with private steps joined and without, the same verdict
// after the same kind of search, and the same set of worlds in which everybody has finished.
#include <gtest/gtest.h>

#include <set>

#include "scenario/hot_remove.hpp"
#include "tests/reference/install_case.hpp"
#include "tests/reference/same_system.hpp"
#include "tests/reference/teardown_case.hpp"

namespace shootdown::reference {
namespace {

struct Found {
  explore::Ending ending;
  std::set<std::vector<model::Words>> ends;  ///< the parts of each final world
  std::uint64_t states;
};

Found find(model::Setup setup, bool join) {
  setup.join_private_steps = join;
  model::System system(std::move(setup));
  Found found{explore::search(system, system.initial(), {}).ending, {}, 0};
  explore::SearchOptions all;
  all.judge = model::Judge::nothing;
  const auto result = explore::search(system, system.initial(), all, [&](const model::System::State& s) {
    std::vector<model::Words> end(model::parts.size());
    for (const model::Part part : model::parts)
      encode(part, system.world(s.env), end[static_cast<std::size_t>(part)]);
    found.ends.insert(end);
  });
  EXPECT_EQ(result.ending, explore::Ending::exhausted);
  found.states = result.states;
  return found;
}

explore::Ending expect_same(const model::Setup& setup) {
  const Found apart = find(setup, false);
  const Found joined = find(setup, true);
  EXPECT_EQ(apart.ending, joined.ending);
  EXPECT_EQ(apart.ends, joined.ends);
  EXPECT_FALSE(joined.ends.empty());
  EXPECT_LE(joined.states, apart.states);
  return joined.ending;
}

TEST(Join, Teardown) {
  TeardownSetup t{.load_from = {6, 9, 7}, .loaders = 1, .reusers = 1};
  EXPECT_EQ(expect_same(set_up(t)), explore::Ending::exhausted);
  t.tables = mm::TableFree::before_flush;
  EXPECT_EQ(expect_same(set_up(t)), explore::Ending::violation);
}

TEST(Join, Install) { EXPECT_EQ(expect_same(set_up(InstallSetup{.cpus = 2})), explore::Ending::exhausted); }

TEST(Join, HotRemoveOfEveryStrategy) {
  for (const mm::Strategy& strategy : mm::strategies) {
    for (const unsigned page_shift : {12u, 16u}) {
      for (const scenario::Path path : {scenario::Path::linear, scenario::Path::vmemmap}) {
        scenario::HotRemoveConfig c;
        c.strategy = strategy;
        c.real = vmsa::regime(page_shift, 48);
        c.cpus = 2;
        c.path = path;
        if (!c.real.vmemmap_uses_blocks()) c.vmemmap = scenario::VmemmapKind::pages;
        SCOPED_TRACE(strategy.name);
        expect_same(scenario::set_up(c));
      }
    }
  }
}

}  // namespace
}  // namespace shootdown::reference
