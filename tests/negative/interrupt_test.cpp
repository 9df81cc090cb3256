// SPDX-License-Identifier: MIT
// Interrupts, pseudo-NMIs and what keeps pages alive for those who look at tables without a lock: read sections, grace
// periods, interrupts that must be answered (RULES 22).
#include <gtest/gtest.h>

#include "tests/negative/verdict.hpp"

namespace shootdown::model {
namespace {

constexpr shadow::CpuSet cpu1 = shadow::CpuSet::one(1);

/// Looks at page 0's leaf without a lock.
void walk(ModelMachine& m) {
  if (m.read_once(W::pmd).is_table(vmsa::pmd_level)) m.read_once(W::slot(0));
}
Task walker(Mask mask) {
  return [=](ModelMachine& m) {
    m.set_mask(mask);
    walk(m);
    m.set_mask(Mask::none);
  };
}
void rcu_walker(ModelMachine& m) {
  m.rcu_read_lock();
  walk(m);
  m.rcu_read_unlock();
}
/// The table is unlinked, flushed and freed, with something in between.
Task frees_table(void (*waits)(ModelMachine&)) {
  return [=](ModelMachine& m) {
    m.write_once(W::pmd, {});
    flush_everything(m);
    waits(m);
    m.free_pages(W::pte, PageUse::table, 0);
  };
}

// ---- read sections ----------------------------------------------------------------------------------------------

TEST(ReadSection, ATableLivesUntilTheGracePeriodIsOver) {
  EXPECT_EQ(verdict({frees_table(bystander), rcu_walker}), "walker-table no-grace-period")
      << "a TLBI interrupts nobody on arm64";
  EXPECT_EQ(verdict({frees_table([](ModelMachine& m) { m.synchronize_rcu(); }), rcu_walker}), "safe");
}

TEST(ReadSection, InterruptsOffAreOne) {  // GUP-fast
  for (const Mask mask : {Mask::interrupts, Mask::all}) {
    EXPECT_EQ(verdict({frees_table(bystander), walker(mask)}), "walker-table no-grace-period");
    EXPECT_EQ(verdict({frees_table([](ModelMachine& m) { m.synchronize_rcu(); }), walker(mask)}), "safe");
  }
}

TEST(ReadSection, OutsideOfOneNothingIsKept) {
  EXPECT_EQ(verdict({frees_table([](ModelMachine& m) { m.synchronize_rcu(); }), walk}),
            "walker-table no-grace-period");
}

TEST(ReadSection, ItEndsWithTheOutermost) {
  EXPECT_EQ(verdict({frees_table([](ModelMachine& m) { m.synchronize_rcu(); }),
                     [](ModelMachine& m) {
                       m.rcu_read_lock();
                       rcu_walker(m);
                       walk(m);
                       m.rcu_read_unlock();
                     }}),
            "safe");
}

TEST(ReadSection, TheGracePeriodBeginsBehindTheUnlinking) {
  EXPECT_EQ(verdict({[](ModelMachine& m) {
                       m.synchronize_rcu();
                       frees_table(bystander)(m);
                     },
                     rcu_walker}),
            "walker-table no-grace-period");
}

TEST(ReadSection, WaitingInsideOneIsADeadlock) {
  EXPECT_EQ(verdict({[](ModelMachine& m) {
                       m.rcu_read_lock();
                       m.synchronize_rcu();
                       m.rcu_read_unlock();
                     },
                     bystander}),
            "deadlock none");
  EXPECT_EQ(verdict({[](ModelMachine& m) {
                       m.set_mask(Mask::interrupts);
                       m.synchronize_rcu();
                       m.set_mask(Mask::none);
                     },
                     bystander}),
            "deadlock none");
}

TEST(ReadSection, ACallbackFreesBehindIt) {  // RCU table free
  auto queued = [](bool unlinked_first) {
    return verdict({[=](ModelMachine& m) {
                      if (!unlinked_first) m.call_rcu(W::pte, PageUse::table, 0);
                      m.write_once(W::pmd, {});
                      flush_everything(m);
                      if (unlinked_first) m.call_rcu(W::pte, PageUse::table, 0);
                    },
                    rcu_walker});
  };
  EXPECT_EQ(queued(true), "safe");
  EXPECT_NE(queued(false), "safe");
}

TEST(ReadSection, TheFlushComesBeforeTheCallback) {
  EXPECT_EQ(verdict({[](ModelMachine& m) {
                       m.write_once(W::pmd, {});
                       m.call_rcu(W::pte, PageUse::table, 0);
                       machine::Scope scope(m, "flush");
                       flush_everything(m);
                     },
                     bystander}),
            "stale-table freed-early");
}

// ---- interrupts that are answered ---------------------------------------------------------------------------------

/// tlb_remove_table_sync_one(): each CPU must take an interrupt, so none is inside a walk with interrupts off.
Setup with_answers(Task task, Task other, Level level = Level::interrupt) {
  W w(2);
  w.setup.tasks = {std::move(task), std::move(other)};
  w.setup.handlers = {{1, level, [](ModelMachine& m) { m.write_word(flag_word, 1, Order::release); }}};
  return std::move(w.setup);
}
void interrupt_and_wait(ModelMachine& m) {
  m.dsb(Dsb::ish);
  m.send_sgi(cpu1);
  m.await_word(flag_word, 1, 1);
}
std::string searched(Setup setup) { return verdict(search_small(std::move(setup))); }

TEST(Interrupt, AnAnswerMeansThatNoWalkerIsInside) {
  EXPECT_EQ(searched(with_answers(frees_table(interrupt_and_wait), walker(Mask::interrupts))), "safe");
  EXPECT_EQ(searched(with_answers(frees_table(bystander), walker(Mask::interrupts))),
            "walker-table no-grace-period");
}

TEST(Interrupt, OneThatIsNotWaitedForMeansNothing) {
  EXPECT_EQ(searched(with_answers(frees_table([](ModelMachine& m) { m.dsb(Dsb::ish), m.send_sgi(cpu1); }),
                                  walker(Mask::interrupts))),
            "walker-table no-grace-period");
}

TEST(Interrupt, ItDoesNotWaitForThoseWhoOnlyReadRcu) {
  EXPECT_EQ(searched(with_answers(frees_table(interrupt_and_wait), rcu_walker)),
            "walker-table no-grace-period")
      << "it may come in the middle of a section";
}

TEST(Interrupt, APseudoNmiComesThroughTheMask) {
  const Task sends = frees_table([](ModelMachine& m) {
    m.dsb(Dsb::ish);
    m.send_sgi(cpu1, Level::nmi);
    m.await_word(flag_word, 1, 1);
  });
  EXPECT_EQ(searched(with_answers(sends, walker(Mask::interrupts), Level::nmi)),
            "walker-table no-grace-period");
  EXPECT_EQ(searched(with_answers(sends, walker(Mask::all), Level::nmi)), "safe");
}

TEST(Interrupt, WaitingForAnAnswerWithInterruptsOffIsADeadlock) {
  auto both_wait = [](Mask mask) {
    auto task = [=](unsigned other, PhysAddr answer) -> Task {
      return [=](ModelMachine& m) {
        m.set_mask(mask);
        m.send_sgi(shadow::CpuSet::one(other));
        m.await_word(answer, 1, 1);
        m.set_mask(Mask::none);
      };
    };
    W w(2);
    w.setup.tasks = {task(1, flag_word), task(0, other_word)};
    w.setup.handlers = {{0, Level::interrupt, [](ModelMachine& m) { m.write_word(other_word, 1); }},
                        {1, Level::interrupt, [](ModelMachine& m) { m.write_word(flag_word, 1); }}};
    return searched(std::move(w.setup));
  };
  EXPECT_EQ(both_wait(Mask::interrupts), "deadlock none");
  EXPECT_EQ(both_wait(Mask::none), "safe");
}

TEST(Interrupt, EntryAndReturnSynchroniseTheContext) {
  auto released = [](bool interrupted) {
    W w(2);
    w.setup.tasks = {[=](ModelMachine& m) {
                       m.write_once(W::slot(0), {});
                       m.dsb(Dsb::ishst);
                       m.tlbi(tlbi_of(0));
                       m.dsb(Dsb::ish);  // and no ISB
                       if (interrupted) m.send_sgi(shadow::CpuSet::one(0)), m.await_word(flag_word, 1, 1);
                       m.release_range(W::one(0));
                     },
                     bystander};
    w.setup.handlers = {{0, Level::interrupt, [](ModelMachine& m) { m.write_word(flag_word, 1); }}};
    return searched(std::move(w.setup));
  };
  EXPECT_EQ(released(false), "stale-page no-isb");
  EXPECT_EQ(released(true), "safe");
}

TEST(Interrupt, AHandlerSeesWhatItsTaskHasHalfDone) {
  W w(1);
  w.setup.tasks = {[](ModelMachine& m) {
    m.send_sgi(shadow::CpuSet::one(0));
    m.write_once(W::slot(0), {});
    m.write_once(W::slot(0), W::leaf(0));
  }};
  w.setup.handlers = {{0, Level::interrupt, [](ModelMachine& m) {
                         if (m.read_once(W::slot(0)).none()) m.warn("half done");
                       }}};
  EXPECT_EQ(searched(std::move(w.setup)), "warning none");
}

/// Not ordered with stores but by a DSB: the handler may run before the message is there.
TEST(Interrupt, AnSgiNeedsADsbBehindItsMessage) {
  auto messaged = [](bool dsb) {
    W w(2);
    w.setup.tasks = {[=](ModelMachine& m) {
                       m.write_word(other_word, 7);
                       if (dsb) m.dsb(Dsb::ishst);
                       m.send_sgi(cpu1);
                     },
                     bystander};
    w.setup.handlers = {{1, Level::interrupt, [](ModelMachine& m) {
                           if (m.read_word(other_word) != 7) m.warn("the message is not there");
                         }}};
    return searched(std::move(w.setup));
  };
  EXPECT_EQ(messaged(false), "warning none");
  EXPECT_EQ(messaged(true), "safe");
}

}  // namespace
}  // namespace shootdown::model
