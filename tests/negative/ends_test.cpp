// SPDX-License-Identifier: MIT
// Runs that never end, beside runs that only may take long.
#include <gtest/gtest.h>

#include "explore/cycles.hpp"
#include "tests/negative/small_world.hpp"

namespace shootdown::explore {
namespace {

using machine::Dsb;
using machine::Lock;
using model::Found;
using model::ModelMachine;
using model::Task;
using shadow::Harm;
using W = model::SmallWorld;
using vmsa::Descriptor;
using vmsa::PhysAddr;

Found find(std::vector<Task> tasks, std::vector<model::Handler> handlers = {}) {
  W w(static_cast<unsigned>(tasks.size()));
  w.setup.tasks = std::move(tasks);
  w.setup.handlers = std::move(handlers);
  return search_small(std::move(w.setup));
}

std::uint64_t read(ModelMachine& m, PhysAddr pa) {
  machine::Scope<ModelMachine, std::uint64_t> scope(m, "read");
  return scope.leave(m.read_word(pa));
}
/// Reads a word of data until it is `wanted`, without any ordering.
Task poll(PhysAddr pa, std::uint64_t wanted) {
  return [=](ModelMachine& m) {
    do m.live({});
    while (read(m, pa) != wanted);
  };
}
std::uint64_t fault(ModelMachine& m, vmsa::VirtAddr va) {
  machine::Scope<ModelMachine, std::uint64_t> scope(m, "touch");
  return scope.leave(m.load(va).faulted);
}
void poll_mapping(ModelMachine& m) {
  do m.live({});
  while (fault(m, W::at(1)) != 0);
}

/// A page that is not mapped at the start.
Found find_unmapped(std::vector<Task> tasks) {
  W w(static_cast<unsigned>(tasks.size()));
  w.setup.world.memory.write(W::slot(1), Descriptor{});
  w.setup.tasks = std::move(tasks);
  return search_small(std::move(w.setup));
}

TEST(Ends, APageThatNobodyMapsIsPolledForEver) {
  const Found f = find_unmapped({poll_mapping});
  EXPECT_EQ(f.harm(), Harm::livelock);
  EXPECT_TRUE(f.search.endless);
  EXPECT_TRUE(f.search.path.empty()) << "from the start";
}

TEST(Ends, APageThatAnotherCpuMapsIsFound) {
  const Found f =
      find_unmapped({poll_mapping, [](ModelMachine& m) { m.write_once(W::slot(1), W::leaf(1)); }});
  EXPECT_TRUE(f.safe());
  EXPECT_GT(f.search.end_states, 0u);
}

TEST(Ends, AFaultThatItsOwnCpuForgetsByNothingIsTakenForEver) {
  // Mapped by this CPU, without the DSB and ISB that its walker needs: the fault may come again and again.
  auto map = [](ModelMachine& m) {
    m.write_once(W::slot(1), W::leaf(1));
    poll_mapping(m);
  };
  EXPECT_EQ(find_unmapped({map}).harm(), Harm::livelock);
  auto map_and_wait = [](ModelMachine& m) {
    m.write_once(W::slot(1), W::leaf(1));
    m.dsb(Dsb::ishst);
    m.isb();
    poll_mapping(m);
  };
  EXPECT_TRUE(find_unmapped({map_and_wait}).safe());
}

TEST(Ends, AWordIsPolledUntilItIsWritten) {
  const PhysAddr word = W::page(0);
  EXPECT_EQ(find({poll(word, 1)}).harm(), Harm::livelock);
  EXPECT_TRUE(find({poll(word, 1), [=](ModelMachine& m) { m.write_word(word, 1); }}).safe())
      << "an early value does not come back for ever, and a store does not stay in its buffer";
  EXPECT_EQ(find({poll(word, 1), [=](ModelMachine& m) { m.write_word(word, 2); }}).harm(), Harm::livelock);
}

TEST(Ends, ThePathLeadsToWhereTheRunStays) {
  // CPU 1 either answers or does not.
  const PhysAddr word = W::page(0);
  const Found f = find({poll(word, 1), [=](ModelMachine& m) {
                          if (m.choose(2) == 0) m.write_word(word, 1);
                        }});
  EXPECT_EQ(f.harm(), Harm::livelock);
  ASSERT_EQ(f.search.path.size(), 1u);
  EXPECT_EQ(f.search.path[0], Choice(1, 1));
}

TEST(Ends, CpusThatWaitForEachOtherAreADeadlockBesideAPoller) {
  const PhysAddr word = W::page(0);
  auto locks = [=](Lock a, Lock b) {
    return [=](ModelMachine& m) { m.lock(a), m.lock(b), m.unlock(b), m.unlock(a); };
  };
  const Found f = find({locks(Lock::memory_hotplug, Lock::init_mm_page_table),
                        [=](ModelMachine& m) {
                          locks(Lock::init_mm_page_table, Lock::memory_hotplug)(m);
                          m.write_word(word, 1);
                        },
                        poll(word, 1)});
  EXPECT_EQ(f.harm(), Harm::deadlock);
  EXPECT_EQ(f.search.path.size(), 2u) << "one lock each";
}

TEST(Ends, WaitingForAWordThatNobodyWritesIsADeadlockBesideAPoller) {
  const PhysAddr word = W::page(0);
  const Found f = find({[=](ModelMachine& m) { m.await_word(word, ~0ull, 3); }, poll(word, 1)});
  EXPECT_EQ(f.harm(), Harm::deadlock);
}

TEST(Ends, ALockIsHandedOutInTurn) {
  // CPU 0 polls under the lock for what CPU 1 does under the same lock: whoever waits for a lock gets it.
  const PhysAddr word = W::page(0);
  const Found f = find({[=](ModelMachine& m) {
                          std::uint64_t seen = 0;
                          while (seen == 0) {
                            m.live({seen});
                            m.lock(Lock::init_mm_page_table);
                            seen = read(m, word);
                            m.unlock(Lock::init_mm_page_table);
                          }
                        },
                        [=](ModelMachine& m) {
                          m.lock(Lock::init_mm_page_table);
                          m.write_word(word, 1);
                          m.unlock(Lock::init_mm_page_table);
                        }});
  EXPECT_TRUE(f.safe()) << name(f.harm());
}

/// CPU 0 holds a read-only translation of a page that has become writable; its store faults, and faults again for as long
/// as the entry is there.
Found relaxed_permission(bool handler_drops_it) {
  W w(2, vmsa::Attributes{.read_only = true});
  auto store = [handler_drops_it](ModelMachine& m) {
    for (bool faulted = true; faulted;) {
      m.live({});
      {
        machine::Scope<ModelMachine, std::uint64_t> scope(m, "store");
        faulted = scope.leave(m.store(W::at(0), 7).faulted) != 0;
      }
      if (!faulted) break;
      if (!handler_drops_it) continue;
      m.tlbi({.op = {.target = vmsa::TlbiTarget::va_all, .broadcast = false}, .va = W::at(0)});
      m.dsb(Dsb::nsh);
      m.isb();
    }
  };
  auto relax = [](ModelMachine& m) { m.write_once(W::slot(0), W::leaf(0)); };
  w.setup.tasks = {store, relax};
  return search_small(std::move(w.setup));
}

TEST(Ends, ASpuriousFaultIsResolvedByDroppingTheEntry) {
  EXPECT_EQ(relaxed_permission(false).harm(), Harm::livelock);
  EXPECT_TRUE(relaxed_permission(true).safe());
}

TEST(Cycles, OfAGraphWrittenByHand) {
  auto nobody = [](Graph::Index, unsigned) { return false; };
  auto all = [](Graph::Index, unsigned) { return true; };
  const Mover a = Mover::agent(0), b = Mover::agent(1);
  {
    Graph g;  // a diamond
    g.add(0, 1, a, false), g.add(0, 2, b, false), g.add(1, 3, b, false), g.add(2, 3, a, false);
    EXPECT_FALSE(has_cycle(g, 4));
    EXPECT_FALSE(find_endless(g, 4, nobody));
  }
  {
    Graph g;  // a goes round 1, 2; b could leave from 2 only
    g.add(0, 1, a, false), g.add(1, 2, a, false), g.add(2, 1, a, false), g.add(2, 3, b, false);
    EXPECT_TRUE(has_cycle(g, 4));
    const auto found = find_endless(g, 4, nobody);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->states, (std::vector<Graph::Index>{1, 2}));
    EXPECT_FALSE(find_endless(g, 4, all)) << "who is served leaves";
    g.close();
    g.add(1, 2, a, false), g.add(1, 3, b, false);
    EXPECT_FALSE(find_endless(g, 4, nobody)) << "b could leave from everywhere";
  }
  {
    Graph g;  // the way back is an early read
    g.add(0, 1, a, false), g.add(1, 0, a, true), g.add(1, 2, a, false);
    EXPECT_TRUE(has_cycle(g, 3));
    EXPECT_FALSE(find_endless(g, 3, nobody));
  }
  {
    Graph g;  // two loops: the first is left by b, who is served; inside it is one where b can do nothing
    g.add(0, 0, a, false), g.add(0, 1, a, false), g.add(1, 0, a, false), g.add(1, 2, b, false);
    const auto found = find_endless(g, 3, all);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->states, std::vector<Graph::Index>{0});
  }
  {
    Graph g;  // hardware may leave, but need not
    g.add(0, 0, a, false), g.add(0, 1, {Mover::flag_update}, false);
    EXPECT_TRUE(find_endless(g, 2, all));
  }
}

}  // namespace
}  // namespace shootdown::explore
