// SPDX-License-Identifier: MIT
// Procedures that are wrong in themselves: locks, ends that are never reached, results that the search is not told of,
// operations that no instruction can say.
#include <gtest/gtest.h>

#include "tests/negative/verdict.hpp"

namespace shootdown::model {
namespace {

// ---- locks ------------------------------------------------------------------------------------------------------

TEST(Locks, AreDroppedByTheirHolder) {  // G3
  EXPECT_EQ(
      verdict({[](ModelMachine& m) { m.lock(Lock::init_mm_page_table), m.unlock(Lock::init_mm_page_table); },
               [](ModelMachine& m) { m.unlock(Lock::init_mm_page_table); }}),
      "warning none");
  EXPECT_EQ(verdict({[](ModelMachine& m) { m.unlock_shared(Lock::memory_hotplug); }}), "warning none");
}

TEST(Locks, AreDroppedBeforeTheEnd) {  // G4
  EXPECT_EQ(verdict({[](ModelMachine& m) { m.lock(Lock::init_mm_page_table); }, bystander}), "warning none");
  EXPECT_EQ(verdict({[](ModelMachine& m) { m.lock_shared(Lock::memory_hotplug); }, bystander}),
            "warning none");
}

void ab(ModelMachine& m) {
  m.lock(Lock::memory_hotplug), m.lock(Lock::init_mm_page_table);
  m.unlock(Lock::init_mm_page_table), m.unlock(Lock::memory_hotplug);
}
void ba(ModelMachine& m) {
  m.lock(Lock::init_mm_page_table), m.lock(Lock::memory_hotplug);
  m.unlock(Lock::memory_hotplug), m.unlock(Lock::init_mm_page_table);
}

TEST(Locks, AreTakenInOneOrder) {
  EXPECT_EQ(verdict({ab, ba}), "deadlock none");
  EXPECT_EQ(verdict({ab, ab}), "safe");
}

// ---- ends -------------------------------------------------------------------------------------------------------

void polls_for_ever(ModelMachine& m) {
  for (;;) {
    m.live({});
    if (m.load(W::at(0)).faulted == 0) return;
  }
}
const Given nothing_mapped{.world = [](W& w) { w.setup.world.memory.write(W::slot(0), {}); }};

TEST(Ends, ZeroOfThemAreNeverSafe) {  // G1
  EXPECT_NE(verdict({bystander, polls_for_ever}, nothing_mapped), "safe");
}

// Both need the search to look at cycles; until it does, the second passes for safe.
TEST(Ends, APollerThatNobodyAnswersIsALivelock) {  // G1
  EXPECT_EQ(verdict({bystander, polls_for_ever}, nothing_mapped), "livelock none");
}
TEST(Ends, ADeadlockBesideAPollerIsOne) {  // G2
  EXPECT_EQ(verdict({ab, ba, polls_for_ever}, nothing_mapped), "deadlock none");
}
TEST(Ends, AStaleReadOnlyEntryIsNeverDropped) {  // RULES 18: hardware may keep it for ever
  auto writer = [](bool drops) -> Task {
    return [=](ModelMachine& m) {
      for (;;) {
        m.live({});
        if (m.store(W::at(0), 5).faulted == 0) return;
        if (drops) m.dsb(Dsb::nshst), m.tlbi(tlbi_of(0, local(vmsa::vaale1is))), m.dsb(Dsb::nsh), m.isb();
      }
    };
  };
  auto relaxed_beside = [&](bool drops) {
    return verdict({[](ModelMachine& m) { m.write_once(W::slot(0), W::leaf(0)), publish(m); }, writer(drops)},
                   {.attributes = {.read_only = true}});
  };
  EXPECT_EQ(relaxed_beside(false), "livelock none");
  EXPECT_EQ(relaxed_beside(true), "safe");
}

// ---- what the search must be told -------------------------------------------------------------------------------

std::uint64_t looks(ModelMachine& m, bool leaves) {
  machine::Scope<ModelMachine, std::uint64_t> scope(m, "looks");
  const std::uint64_t x = m.choose(2);
  return leaves ? scope.leave(x) : x;
}
Task warns_of(std::uint64_t (*look)(ModelMachine&)) {
  return [=](ModelMachine& m) {
    const std::uint64_t x = look(m);
    m.isb();
    if (x == 1) m.warn("reached");
  };
}

TEST(Results, OneThatIsNotLeftStopsTheProgram) {  // S1
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH((void)verdict({warns_of([](ModelMachine& m) { return looks(m, false); })}),
               "without scope.leave");
}
TEST(Results, OneThatIsLeftIsTold) {  // S2
  EXPECT_EQ(verdict({warns_of([](ModelMachine& m) { return looks(m, true); })}), "warning none");
}

/// What the audit of identities says of a task after a full search.
std::string audited(Task task) {
  W w(1);
  w.setup.tasks = {std::move(task)};
  System system(std::move(w.setup));
  system.procedure(0).keep_logs();
  explore::search(system, system.initial(), {});
  return system.procedure(0).audit();
}

TEST(Results, ByReferenceOrByCallbackTheAuditFindsThem) {  // S3, S4
  EXPECT_NE(audited([](ModelMachine& m) {
              std::uint64_t x = 0;
              auto look = [&](std::uint64_t& out) {
                machine::Scope scope(m, "look");
                out = m.choose(2);
              };
              look(x);
              m.isb();
              m.data_store(W::page(0), x);
            }),
            "");
  EXPECT_NE(audited([](ModelMachine& m) {
              std::uint64_t found = 0;
              auto each = [&](auto&& body) {
                machine::Scope scope(m, "each");
                for (unsigned i = 0; i < 2; ++i) body(i);
              };
              each([&](unsigned i) { found |= m.choose(2) << i; });
              m.isb();
              m.data_store(W::page(0), found);
            }),
            "");
  EXPECT_EQ(audited([](ModelMachine& m) {
              const std::uint64_t x = looks(m, true);
              m.isb();
              m.data_store(W::page(0), x);
            }),
            "");
}

// ---- what instructions can say ------------------------------------------------------------------------------------

TEST(Operands, ARangeOfThreePagesHasNoEncoding) {  // L1; of the scaled world's regime any number has one
  constexpr vmsa::Regime real = vmsa::regime(12, 39);
  vmsa::TlbiOp range = vmsa::vaale1is;
  range.range = true;
  auto flushed = [=](std::uint64_t pages) {
    model::Setup s{.world = {.memory = Memory(12), .shadow = shadow::Shadow(real, 1, W::root)},
                   .root = W::root};
    Page root;
    root.start = W::root;
    root.usage.state = PageState::table;
    s.world.pages = {root};
    s.tasks = {[=](ModelMachine& m) {
      m.tlbi({.op = range, .va = real.base(), .pages = pages});
      complete(m);
    }};
    return verdict(search_small(std::move(s)));
  };
  EXPECT_EQ(flushed(3), "warning none");
  EXPECT_EQ(flushed(1), "warning none");
  for (const std::uint64_t pages : {2u, 4u, 64u, 128u}) EXPECT_EQ(flushed(pages), "safe") << pages;
}

}  // namespace
}  // namespace shootdown::model
