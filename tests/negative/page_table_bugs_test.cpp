// SPDX-License-Identifier: MIT
// Bugs that Linux had in changing live tables, seeded on the model in a few lines each, under the commit that
// fixed them. Beside each stands the fixed sequence, which must be safe on every schedule.
#include <gtest/gtest.h>

#include "tests/negative/verdict.hpp"

namespace shootdown::model {
namespace {

using shadow::Harm;
using vmsa::Conflict;

constexpr vmsa::Regime r = W::r;
constexpr vmsa::Attributes contiguous{.dbm = true, .contiguous = true};
constexpr vmsa::Attributes read_only{.read_only = true};

Found search_tasks(const vmsa::Attributes& attributes, std::vector<Task> tasks) {
  return search_tasks(std::move(tasks), {.attributes = attributes});
}
Conflict conflict(const Found& f) { return f.violation ? f.violation->finding.conflict : Conflict::none; }

void flush_va(ModelMachine& m, VirtAddr va, vmsa::TlbiOp op = vmsa::vaale1is) {
  m.dsb(Dsb::ishst);
  m.tlbi({.op = op, .va = va});
  complete(m);
}

// ---- 060a2c92d1b6: HVO remapped vmemmap from one page to another without a break ------------------------------

Task remap(bool broken_first) {
  return [=](ModelMachine& m) {
    if (broken_first) {
      m.write_once(W::slot(0), {});
      flush_va(m, W::at(0));
    }
    m.write_once(W::slot(0), W::leaf(5, read_only));
    m.dsb(Dsb::ishst);
    m.isb();
  };
}

TEST(Negative, Bug060a2c92d1b6_OutputAddressChangedInPlace) {
  const Found bug = search_tasks(vmsa::page_kernel, {remap(false), reader(0)});
  EXPECT_EQ(bug.harm(), Harm::break_before_make);
  EXPECT_EQ(conflict(bug), Conflict::output_address);
  EXPECT_TRUE(search_tasks(vmsa::page_kernel, {remap(true), reader(0)}).safe());
}

/// Why the fix is no way out for HVO: the break is a hole that others fall into.
TEST(Negative, Bug060a2c92d1b6_TheBreakFaultsOthers) {
  const Task user = [](ModelMachine& m) {
    if (m.load(W::at(0)).faulted != 0) m.unexpected_fault(W::at(0));
  };
  EXPECT_EQ(search_tasks(vmsa::page_kernel, {remap(true), user}).harm(), Harm::unexpected_fault);
  const Task elsewhere = [](ModelMachine& m) {
    if (m.load(W::at(1)).faulted != 0) m.unexpected_fault(W::at(1));
  };
  EXPECT_TRUE(search_tasks(vmsa::page_kernel, {remap(true), elsewhere}).safe());
}

// ---- d0b7a302d58a: a mapping was used without the barriers that follow it -----------------------------------

enum class Publish { fully, without_isb, without_dsb, isb_first };

Found map_and_use(Publish how) {
  const Task map = [how](ModelMachine& m) {
    m.write_once(W::slot(0), W::leaf(0));
    if (how == Publish::isb_first) m.isb();
    if (how != Publish::without_dsb) m.dsb(Dsb::ishst);
    if (how == Publish::fully || how == Publish::without_dsb) m.isb();
    if (m.load(W::at(0)).faulted != 0) m.unexpected_fault(W::at(0));
  };
  W w(2);
  w.setup.world.memory.write(W::slot(0), {});
  w.setup.tasks = {map, reader(0)};
  return search_small(std::move(w.setup));
}

TEST(Negative, BugD0b7a302d58a_NewMappingUsedWithoutIsb) {
  for (const Publish how : {Publish::without_isb, Publish::isb_first}) {
    const Found bug = map_and_use(how);
    EXPECT_EQ(bug.harm(), Harm::unexpected_fault);
    EXPECT_EQ(bug.cause, "no-isb");
  }
  EXPECT_TRUE(map_and_use(Publish::fully).safe());
}

/// The ISB does not wait for the store.
TEST(Negative, BugD0b7a302d58a_NewMappingUsedWithoutDsb) {
  const Found bug = map_and_use(Publish::without_dsb);
  EXPECT_EQ(bug.harm(), Harm::unexpected_fault);
  EXPECT_EQ(bug.cause, "no-dsb");
}

// ---- 3a0b870e3448: tables merged into a block, one address of theirs flushed ----------------------------------

Task merge(bool whole_range) {
  return [=](ModelMachine& m) {
    m.write_once(W::pmd, {});
    if (whole_range) {
      m.dsb(Dsb::ishst);
      mm::issue_range<r>(m, {W::at(0), W::at(4)}, vmsa::vaae1is);
      complete(m);
    } else {
      flush_va(m, W::at(0), vmsa::vaae1is);
    }
    m.write_once(W::pmd, vmsa::make_leaf(r, vmsa::pmd_level, W::data, vmsa::page_kernel));
  };
}

TEST(Negative, Bug3a0b870e3448_MergedWithoutInvalidatingAllThatWasCovered) {
  const Found bug = search_tasks(vmsa::page_kernel, {merge(false), reader(1)});
  EXPECT_EQ(bug.harm(), Harm::break_before_make);
  EXPECT_EQ(conflict(bug), Conflict::block_size);
  EXPECT_TRUE(search_tasks(vmsa::page_kernel, {merge(true), reader(1)}).safe());
}

// ---- 410982303772: a contiguous group was cleared and set again without the TLBI in between -------------------

Task unfold(bool flushed) {
  return [=](ModelMachine& m) {
    for (unsigned i : {0u, 1u}) m.write_once(W::slot(i), {});
    m.dsb(Dsb::ishst);
    if (flushed)
      for (unsigned i : {0u, 1u}) m.tlbi({.op = vmsa::vaale1is, .va = W::at(i)});
    complete(m);
    for (unsigned i : {0u, 1u}) m.write_once(W::slot(i), W::leaf(i));
  };
}

TEST(Negative, Bug410982303772_NoTlbiInsideBreakBeforeMakeOfAGroup) {
  const Found bug = search_tasks(contiguous, {unfold(false), reader(0)});
  EXPECT_EQ(bug.harm(), Harm::break_before_make);
  EXPECT_EQ(conflict(bug), Conflict::block_size);
  EXPECT_EQ(bug.cause, "no-tlbi");
  EXPECT_TRUE(search_tasks(contiguous, {unfold(true), reader(0)}).safe());
}

// ---- 60bae7370896: the page-table lock was dropped before the flush -------------------------------------------

Task zap(bool flushed_under_lock) {
  return [=](ModelMachine& m) {
    m.lock(Lock::init_mm_page_table);
    m.write_once(W::slot(0), {});
    if (flushed_under_lock) flush_va(m, W::at(0));
    m.unlock(Lock::init_mm_page_table);
    if (!flushed_under_lock) flush_va(m, W::at(0));
  };
}
Task fault_in() {
  return [](ModelMachine& m) {
    m.lock(Lock::init_mm_page_table);
    if (m.read_once(W::slot(0)).none()) m.write_once(W::slot(0), W::leaf(5));
    m.unlock(Lock::init_mm_page_table);
  };
}

TEST(Negative, Bug60bae7370896_LockDroppedBeforeTheFlush) {
  const Found bug = search_tasks(vmsa::page_kernel, {zap(false), fault_in(), reader(0)});
  EXPECT_EQ(bug.harm(), Harm::break_before_make);
  EXPECT_EQ(conflict(bug), Conflict::output_address);
  EXPECT_TRUE(search_tasks(vmsa::page_kernel, {zap(true), fault_in(), reader(0)}).safe());
}

// ---- 01d57485fcdb: the range ran from an address inside the first block, in strides of a block ----------------

/// Two blocks behind the first table's addresses are unmapped; `start` is where the loop of TLBIs starts.
Found unmap_blocks(std::uint64_t start) {
  constexpr std::uint64_t block = r.span(vmsa::pmd_level);
  constexpr PhysAddr target = W::data;
  W w(2);
  w.setup.world.memory.write(W::pmd + 8, vmsa::make_leaf(r, vmsa::pmd_level, target, vmsa::page_kernel));
  w.setup.world.memory.write(W::pmd + 16,
                             vmsa::make_leaf(r, vmsa::pmd_level, target + block, vmsa::page_kernel));
  w.setup.tasks = {[=](ModelMachine& m) {
                     m.write_once(W::pmd + 8, {});
                     m.write_once(W::pmd + 16, {});
                     m.dsb(Dsb::ishst);
                     for (VirtAddr va = W::va + block + start; va < W::va + 2 * block + block / 2;
                          va += block)
                       m.tlbi({.op = vmsa::vaale1is, .va = va});
                     complete(m);
                     m.release_range({target + block, target + 2 * block});
                   },
                   reader(1)};
  return search_small(std::move(w.setup));
}

TEST(Negative, Bug01d57485fcdb_RangeNotAlignedToStride) {
  const Found bug = unmap_blocks(r.span(vmsa::pmd_level) / 2);
  EXPECT_EQ(bug.harm(), Harm::stale_page);
  EXPECT_EQ(bug.violation->finding.entry.place.level, vmsa::pmd_level);
  EXPECT_TRUE(unmap_blocks(0).safe());
}

// ---- rules without a commit ---------------------------------------------------------------------------------

/// One page unmapped and released, by the given sequence in between.
Found unmap_with(const std::function<void(ModelMachine&)>& flush) {
  return search_tasks(vmsa::page_kernel, {[=](ModelMachine& m) {
                                            m.write_once(W::slot(0), {});
                                            flush(m);
                                            m.release_range(W::one(0));
                                          },
                                          reader(0)});
}

TEST(Negative, CausesOfAStalePage) {
  const vmsa::Tlbi op{.op = vmsa::vaale1is, .va = W::at(0)};
  auto found = [](const std::function<void(ModelMachine&)>& f) {
    const Found x = unmap_with(f);
    return std::string(name(x.harm())) + " " + x.cause;
  };
  EXPECT_EQ(found([](ModelMachine&) {}), "stale-page no-tlbi");
  EXPECT_EQ(found([=](ModelMachine& m) { m.tlbi(op), complete(m); }), "stale-page tlbi-before-clear")
      << "the clear may become visible after the TLBI";
  EXPECT_EQ(found([=](ModelMachine& m) { m.dsb(Dsb::ishst), m.tlbi(op), m.isb(); }), "stale-page no-dsb");
  EXPECT_EQ(found([=](ModelMachine& m) { m.dsb(Dsb::ishst), m.tlbi(op), m.dsb(Dsb::nsh), m.isb(); }),
            "stale-page no-dsb");
  EXPECT_EQ(found([=](ModelMachine& m) { m.dsb(Dsb::ishst), m.tlbi(op), m.dsb(Dsb::ishst), m.isb(); }),
            "stale-page no-dsb");
  EXPECT_EQ(found([=](ModelMachine& m) { m.dsb(Dsb::ishst), m.tlbi(op), m.dsb(Dsb::ish); }),
            "stale-page no-isb");
  EXPECT_EQ(found([=](ModelMachine& m) {
              vmsa::Tlbi local = op;
              local.op.broadcast = false;
              m.dsb(Dsb::ishst), m.tlbi(local), complete(m);
            }),
            "stale-page scope");
  EXPECT_EQ(found([=](ModelMachine& m) { flush_va(m, W::at(1)); }), "stale-page coverage");
  EXPECT_TRUE(unmap_with([](ModelMachine& m) { flush_va(m, W::at(0)); }).safe());
}

TEST(Negative, AWrongLevelHintFlushesNothing) {  // eed6bfa8b282, 61c11656b67b
  for (int level : {2, 3}) {
    const Found f = unmap_with([=](ModelMachine& m) {
      m.dsb(Dsb::ishst);
      m.tlbi({.op = vmsa::vaale1is, .va = W::at(0), .ttl = vmsa::Level{level}});
      complete(m);
    });
    EXPECT_EQ(f.harm(), level == 3 ? Harm::none : Harm::stale_page);
  }
}

TEST(Negative, AnotherCpusBarrierDoesNotComplete) {
  // CPU 0 holds the lock from the start.
  auto held = [](bool own_barrier) {
    W w(2);
    w.setup.world.locks[0].exclusive = 1;
    w.setup.tasks = {[=](ModelMachine& m) {
                       m.write_once(W::slot(0), {});
                       m.dsb(Dsb::ishst);
                       m.tlbi({.op = vmsa::vaale1is, .va = W::at(0)});
                       if (own_barrier) complete(m);
                       m.unlock(Lock::memory_hotplug);
                     },
                     [=](ModelMachine& m) {
                       m.lock(Lock::memory_hotplug);
                       complete(m);
                       m.release_range(W::one(0));
                       m.unlock(Lock::memory_hotplug);
                     }};
    return search_small(std::move(w.setup));
  };
  EXPECT_EQ(held(false).harm(), Harm::stale_page);
  EXPECT_EQ(held(false).cause, "no-dsb");
  EXPECT_TRUE(held(true).safe());
}

TEST(Negative, ATableFreedWhileLinked) {
  for (bool unlinked : {false, true}) {
    const Found f = search_tasks(vmsa::page_kernel, {[=](ModelMachine& m) {
                                                       if (unlinked) {
                                                         m.write_once(W::pmd, {});
                                                         m.dsb(Dsb::ishst);
                                                         m.tlbi({.op = vmsa::vmalle1is});
                                                         complete(m);
                                                       }
                                                       m.free_pages(W::pte, machine::PageUse::table, 0);
                                                     },
                                                     reader(0)});
    EXPECT_EQ(f.harm(), unlinked ? Harm::none : Harm::stale_table);
  }
}

TEST(Negative, LeavesOfAnUnlinkedTableFlushedByLastLevelOnly) {
  for (const vmsa::TlbiOp op : {vmsa::vaale1is, vmsa::vaae1is}) {
    const Found f = search_tasks(vmsa::page_kernel, {[=](ModelMachine& m) {
                                                       m.write_once(W::pmd, {});
                                                       m.dsb(Dsb::ishst);
                                                       for (unsigned i = 0; i < 4; ++i)
                                                         m.tlbi({.op = op, .va = W::at(i)});
                                                       complete(m);
                                                       m.release_range(W::one(1));
                                                     },
                                                     reader(1)});
    EXPECT_EQ(f.harm(), op.last_level ? Harm::stale_page : Harm::none);
  }
}

TEST(Negative, LockOrderTurnedRound) {
  auto locks = [](Lock a, Lock b) {
    return [=](ModelMachine& m) {
      m.lock(a);
      m.lock(b);
      m.unlock(b);
      m.unlock(a);
    };
  };
  constexpr Lock x = Lock::memory_hotplug, y = Lock::init_mm_page_table;
  EXPECT_EQ(search_tasks(vmsa::page_kernel, {locks(x, y), locks(y, x)}).harm(), Harm::deadlock);
  EXPECT_TRUE(search_tasks(vmsa::page_kernel, {locks(x, y), locks(x, y)}).safe());
}

TEST(Negative, WhatIsNotCapturedIsImpossible) {
  // A function that has returned is its result and nothing else; this one says more on the side.
  auto task = [](bool leaks) -> Task {
    return [leaks](ModelMachine& m) {
      std::uint64_t side = 0;
      {
        machine::Scope scope(m, "looks");
        const std::uint64_t chosen = m.choose(2);
        if (leaks) side = chosen;
      }
      m.isb();
      m.data_store(W::page(0), side);
    };
  };
  for (bool leaks : {false, true}) {
    W w(1);
    w.setup.tasks = {task(leaks)};
    System system(std::move(w.setup));
    system.procedure(0).keep_logs();
    explore::search(system, system.initial(), {});
    EXPECT_EQ(system.procedure(0).audit().empty(), !leaks) << system.procedure(0).audit();
  }
}

}  // namespace
}  // namespace shootdown::model
