// SPDX-License-Identifier: MIT
// Reads by software may be early: what orders them is an acquire, a DMB or DSB, a lock, or an address that came out of
// the value read before. A control dependency is nothing to a read.
#include <gtest/gtest.h>

#include "tests/negative/verdict.hpp"

namespace shootdown::model {
namespace {

using Between = void (*)(ModelMachine&);

/// MP: CPU 0 writes data, then a flag; CPU 1 sees the flag and reads the data.
std::string message(Order write, Order read, Between writer = bystander, Between reader = bystander) {
  return verdict({[=](ModelMachine& m) {
                    m.write_word(other_word, 1);
                    writer(m);
                    m.write_word(flag_word, 1, write);
                  },
                  [=](ModelMachine& m) {
                    const bool said = m.read_word(flag_word, read) == 1;
                    reader(m);
                    if (said && m.read_word(other_word) != 1) m.warn("stale data");
                  }});
}

TEST(EarlyRead, MessagePassing) {
  constexpr Order relaxed = Order::relaxed, acquire = Order::acquire, release = Order::release;
  constexpr const char* stale = "warning none";
  const Between dmb = [](ModelMachine& m) { m.dmb(Dmb::ish); };
  const Between dmb_ld = [](ModelMachine& m) { m.dmb(Dmb::ishld); };
  const Between dmb_st = [](ModelMachine& m) { m.dmb(Dmb::ishst); };
  const Between dsb = [](ModelMachine& m) { m.dsb(Dsb::ish); };
  EXPECT_EQ(message(relaxed, relaxed), stale);
  EXPECT_EQ(message(release, relaxed), stale) << "a control dependency orders no read";
  EXPECT_EQ(message(relaxed, acquire), stale);
  EXPECT_EQ(message(release, acquire), "safe");
  EXPECT_EQ(message(relaxed, relaxed, dmb, dmb), "safe");
  EXPECT_EQ(message(relaxed, relaxed, dmb_st, dmb_ld), "safe");
  EXPECT_EQ(message(relaxed, relaxed, dmb_st, dmb_st), stale) << "a store barrier orders no reads";
  EXPECT_EQ(message(relaxed, relaxed, dmb_ld, dmb_ld), stale) << "nor a load barrier stores";
  EXPECT_EQ(message(relaxed, relaxed, dsb, dsb), "safe");
}

TEST(EarlyRead, ALockIsAnAcquire) {
  EXPECT_EQ(verdict({[](ModelMachine& m) {
                       m.lock(Lock::memory_hotplug);
                       m.write_word(other_word, 1), m.write_word(flag_word, 1);
                       m.unlock(Lock::memory_hotplug);
                     },
                     [](ModelMachine& m) {
                       m.lock(Lock::memory_hotplug);
                       if (m.read_word(flag_word) != m.read_word(other_word)) m.warn("half of it");
                       m.unlock(Lock::memory_hotplug);
                     }}),
            "safe");
}

TEST(EarlyRead, OneWordIsReadInOrder) {  // coRR
  EXPECT_EQ(verdict({[](ModelMachine& m) { m.write_word(flag_word, 1), m.write_word(flag_word, 2); },
                     [](ModelMachine& m) {
                       const std::uint64_t first = m.read_word(flag_word);
                       if (m.read_word(flag_word) < first) m.warn("backwards");
                     }}),
            "safe");
}

TEST(EarlyRead, AnOwnStoreIsReadOrWhatCameAfterIt) {  // coWR
  const Task other = [](ModelMachine& m) { m.write_word(flag_word, 2); };
  EXPECT_EQ(verdict({[](ModelMachine& m) {
                       m.write_word(flag_word, 1);
                       if (m.read_word(flag_word) == 0) m.warn("what was there before it");
                     },
                     other}),
            "safe");
  EXPECT_EQ(verdict({[](ModelMachine& m) {
                       if (m.read_word(flag_word) == 0) m.warn("nothing is there yet");
                     },
                     other}),
            "warning none");
}

TEST(EarlyRead, StoreBuffering) {  // SB
  auto both_zero = [](Between between) {
    auto task = [=](PhysAddr own, PhysAddr others, PhysAddr result) -> Task {
      return [=](ModelMachine& m) {
        m.write_word(own, 1);
        between(m);
        if (m.read_word(others) == 0) m.update_word(result, op::Update::add, 1);
      };
    };
    W w(2);
    w.setup.tasks = {task(flag_word, other_word, W::page(5)), task(other_word, flag_word, W::page(5))};
    w.setup.final_check = [](const World& world) -> std::optional<shadow::Finding> {
      if (world.memory.read(W::page(5)).bits != 2) return std::nullopt;
      return shadow::Finding{.harm = shadow::Harm::warning};
    };
    return verdict(search_small(std::move(w.setup)));
  };
  EXPECT_EQ(both_zero(bystander), "warning none");
  EXPECT_EQ(both_zero([](ModelMachine& m) { m.dmb(Dmb::ishst); }), "warning none");
  EXPECT_EQ(both_zero([](ModelMachine& m) { m.dmb(Dmb::ishld); }), "warning none");
  EXPECT_EQ(both_zero([](ModelMachine& m) { m.dmb(Dmb::ish); }), "safe");
  EXPECT_EQ(both_zero([](ModelMachine& m) { m.dsb(Dsb::ish); }), "safe");
}

/// A new table is filled, then linked. Who comes by it through its descriptor reads what was written before the link,
/// without a barrier: the address came out of the value.
TEST(EarlyRead, AnAddressDependencyThroughATable) {
  auto walked = [](bool dependent) {
    return verdict({[](ModelMachine& m) {
                      m.write_once(W::spare, W::leaf(5));
                      m.dmb(Dmb::ishst);
                      m.write_once(W::pmd + 8, vmsa::make_table(W::r, W::spare));
                    },
                    [=](ModelMachine& m) {
                      if (dependent) {
                        const Descriptor d = m.read_once(W::pmd + 8);
                        if (d.valid() && m.read_once(vmsa::output_address(W::r, vmsa::pmd_level, d)).none())
                          m.warn("the table's words before they were written");
                        return;
                      }
                      m.write_word(flag_word, 1);
                      if (m.read_word(other_word) == 0 && m.read_once(W::pmd + 8).valid()) return;
                    }});
  };
  EXPECT_EQ(walked(true), "safe");
}

TEST(EarlyRead, WithoutTheDependencyItMayBeOld) {
  EXPECT_EQ(verdict({[](ModelMachine& m) {
                       m.write_once(W::spare, W::leaf(5));
                       m.dmb(Dmb::ishst);
                       m.write_once(W::spare + 8, W::leaf(6));
                     },
                     [](ModelMachine& m) {
                       if (m.read_once(W::spare + 8).valid() && m.read_once(W::spare).none()) m.warn("old");
                     }}),
            "warning none");
}

TEST(EarlyRead, InProgramOrderWhenSwitchedOff) {
  EXPECT_EQ(verdict({[](ModelMachine& m) {
                       m.write_word(other_word, 1), m.write_word(flag_word, 1, Order::release);
                     },
                     [](ModelMachine& m) {
                       if (m.read_word(flag_word) == 1 && m.read_word(other_word) != 1) m.warn("stale data");
                     }},
                    {.world = [](W& w) { w.setup.early_reads = false; }}),
            "safe");
}

/// A compare and swap that fails is a read, and releases nothing.
TEST(EarlyRead, AFailingCompareAndSwapReleasesNothing) {
  auto messaged = [](std::uint64_t expected) {
    return verdict({[=](ModelMachine& m) {
                      m.write_word(other_word, 1);
                      m.cmpxchg_word(W::page(5), expected, 1);
                      m.write_word(flag_word, 1);
                    },
                    [](ModelMachine& m) {
                      if (m.read_word(flag_word, Order::acquire) == 1 && m.read_word(other_word) != 1)
                        m.warn("stale data");
                    }});
  };
  EXPECT_EQ(messaged(3), "warning none");
  EXPECT_EQ(messaged(0), "safe");
}

}  // namespace
}  // namespace shootdown::model
