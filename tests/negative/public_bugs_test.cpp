// SPDX-License-Identifier: MIT
// Public bugs of other places than the table of RULES.md: Linux, hypervisors, other kernels, firmware. Each in a few
// lines under the commit, request or issue that tells of it, beside its fixed form.
#include <gtest/gtest.h>

#include "tests/negative/user_world.hpp"

namespace shootdown::model {
namespace {

using U = UserWorld;
using vmsa::Right;

constexpr vmsa::Attributes contiguous{.dbm = true, .contiguous = true};
constexpr vmsa::VirtRange page_0{W::at(0), W::at(1)};

// ---- Linux, arm64 -----------------------------------------------------------------------------------------------

/// An allocation failed, the table is flushed and freed at once, and the hint is one for leaves.
TEST(PublicBugs, L52218fcd61cb_ALeafsLevelHintForATable) {  // L2; K1's 36e008323926 at stage 2
  auto freed = [](std::optional<vmsa::Level> ttl) {
    return verdict({[=](ModelMachine& m) {
                      m.write_once(W::pmd, {});
                      m.dsb(Dsb::ishst);
                      m.tlbi({.op = vmsa::vaae1is, .va = W::at(0), .ttl = ttl});
                      complete(m);
                      m.free_pages(W::pte, PageUse::table, 0);
                    },
                    bystander},
                   {.world = [](W& w) {
                     for (unsigned i = 0; i < 4; ++i) w.setup.world.memory.write(W::slot(i), {});
                   }});
  };
  EXPECT_EQ(freed(vmsa::pmd_level), "stale-table coverage");
  EXPECT_EQ(freed(std::nullopt), "safe");
}

/// One member of a contiguous huge page is cleared for migration; users write on through the others.
TEST(PublicBugs, L5d4af6195c87_OneMemberClearedForMigration) {  // L3
  auto migrated = [](bool whole_group) {
    auto task = [=](ModelMachine& m) {
      for (unsigned i = 0; i < (whole_group ? 2u : 1u); ++i) m.write_once(W::slot(i), {});
      m.dsb(Dsb::ishst);
      for (unsigned i = 0; i < 2; ++i) m.tlbi(tlbi_of(i));
      complete(m);
      m.rely({}, 0, page_0, {Right::write});  // the copy
      m.release_range({W::page(0), W::page(2)});
    };
    return verdict({task, [](ModelMachine& m) { m.store(W::at(0), 5); }}, {.attributes = contiguous});
  };
  EXPECT_EQ(migrated(false), "stale-permission contiguous");
  EXPECT_EQ(migrated(true), "safe");
}

TEST(PublicBugs, La00a875925a4_TheRestOfAPoisonedGroupStaysMapped) {  // L3
  EXPECT_EQ(verdict({[](ModelMachine& m) {
                       unmap(m, 0);
                       m.release_range(W::one(1));
                     },
                     bystander},
                    {.attributes = contiguous}),
            "stale-page freed-early");
}

/// vmalloc installs a huge page over a table of pages, which the dumper of tables walks without a lock.
TEST(PublicBugs, Lfa93b45fd397_PtdumpReadsATableThatHugeVmallocFrees) {  // L6
  enum class Protect { nothing, lock, grace };
  auto dumped = [](Protect by) {
    const Task vmalloc = [=](ModelMachine& m) {
      if (by == Protect::lock) m.lock(Lock::memory_hotplug);
      m.write_once(W::pmd, {});
      flush_everything(m);
      if (by == Protect::grace) m.synchronize_rcu();
      m.free_pages(W::pte, PageUse::table, 0);
      if (by == Protect::lock) m.unlock(Lock::memory_hotplug);
    };
    const Task dump = [=](ModelMachine& m) {
      if (by == Protect::lock) m.lock_shared(Lock::memory_hotplug);
      if (by == Protect::grace) m.rcu_read_lock();
      if (m.read_once(W::pmd).is_table(vmsa::pmd_level)) m.read_once(W::slot(0));
      if (by == Protect::lock) m.unlock_shared(Lock::memory_hotplug);
      if (by == Protect::grace) m.rcu_read_unlock();
    };
    return verdict({vmalloc, dump});
  };
  EXPECT_EQ(dumped(Protect::nothing), "walker-table no-grace-period");
  EXPECT_EQ(dumped(Protect::lock), "safe");
  EXPECT_EQ(dumped(Protect::grace), "safe");
}

/// The protocol of its sixth version: a static key that the dumper sets, and a lock that is taken only where it is set.
TEST(PublicBugs, Lfa93b45fd397_TheStaticKeyOfTheFix) {
  auto dumped = [](bool dumper_waits) {
    const Task vmalloc = [](ModelMachine& m) {
      m.write_once(W::pmd, {});
      flush_everything(m);
      const bool dumping = m.read_word(flag_word, Order::acquire) != 0;
      if (dumping) m.lock(Lock::memory_hotplug), m.unlock(Lock::memory_hotplug);
      m.free_pages(W::pte, PageUse::table, 0);
    };
    const Task dump = [=](ModelMachine& m) {
      m.lock_shared(Lock::memory_hotplug);
      m.write_word(flag_word, 1);
      if (dumper_waits) m.dmb(Dmb::ish);
      if (m.read_once(W::pmd).is_table(vmsa::pmd_level)) m.read_once(W::slot(0));
      m.unlock_shared(Lock::memory_hotplug);
    };
    return verdict({vmalloc, dump});
  };
  EXPECT_EQ(dumped(true), "safe");
  EXPECT_EQ(dumped(false), "walker-table no-grace-period") << "the key must be seen before the walk begins";
}

/// Two neighbours share a block of struct pages; one of them goes.
TEST(PublicBugs, Ld4234d131b0a_ABlockClearedForHalfOfIt) {  // L7, L8
  auto unplugged = [](bool whole_block_is_ours) {
    constexpr VirtAddr half = W::va + W::r.span(vmsa::pmd_level) + W::r.span(vmsa::pmd_level) / 2;
    const Task unplug = [=](ModelMachine& m) {
      if (!whole_block_is_ours)
        m.write_once(W::pmd + 8, vmsa::make_leaf(W::r, vmsa::pmd_level, W::data, vmsa::page_kernel)),
            publish(m);
      m.write_once(W::pmd + 8, {});
      flush(m, {.op = vmsa::vaale1is, .va = half});
    };
    const Task neighbour = [=](ModelMachine& m) {
      if (!whole_block_is_ours) must_not_fault(m, half);
    };
    return verdict({unplug, neighbour}, {.world = [=](W& w) {
                     w.setup.world.memory.write(
                         W::pmd + 8, vmsa::make_leaf(W::r, vmsa::pmd_level, W::data, vmsa::page_kernel));
                   }});
  };
  EXPECT_EQ(unplugged(false), "unexpected-fault in-use");
  EXPECT_EQ(unplugged(true), "safe");
}

/// A block is made invalid, shared with the hypervisor, and made valid again by a walk that takes only what is valid.
TEST(PublicBugs, L15bfba1ad77f_AnInvalidBlockIsSkipped) {  // L9
  constexpr VirtAddr at = W::va + W::r.span(vmsa::pmd_level);
  constexpr Descriptor block = vmsa::make_leaf(W::r, vmsa::pmd_level, W::data, vmsa::page_kernel);
  constexpr Descriptor invalid{block.bits & ~Descriptor::valid_bit};
  auto decrypted = [=](bool knows_invalid_blocks) {
    return verdict({[=](ModelMachine& m) {
                      m.write_once(W::pmd + 8, invalid);
                      flush(m, {.op = vmsa::vaale1is, .va = at});
                      const Descriptor now = m.read_once(W::pmd + 8);
                      if (now.valid() || (knows_invalid_blocks && !now.none()))
                        m.write_once(W::pmd + 8, block), publish(m);
                      must_not_fault(m, at);
                    },
                    bystander},
                   {.world = [=](W& w) { w.setup.world.memory.write(W::pmd + 8, block); }});
  };
  EXPECT_EQ(decrypted(false), "unexpected-fault in-use");
  EXPECT_EQ(decrypted(true), "safe");
}

// ---- Linux, neutral code ------------------------------------------------------------------------------------------

/// A small page is collapsed into a huge one and given back, unless somebody has pinned it; GUP-fast pins without a lock
/// and looks again.
TEST(PublicBugs, N70cbc3cc78a9_GupFastAgainstCollapse) {  // N1
  constexpr PhysAddr pins = flag_word;
  auto collapsed = [=](bool looks_at_the_pmd_again) {
    const Task collapse = [=](ModelMachine& m) {
      m.write_once(W::pmd, {});
      flush_everything(m);
      m.dmb(Dmb::ish);
      if (m.update_word(pins, op::Update::add, 100) != 0) return;  // frozen where it was zero
      m.write_once(W::slot(0), {});
      m.release_range(W::one(0));
    };
    const Task gup_fast = [=](ModelMachine& m) {
      m.set_mask(Mask::interrupts);
      if (m.read_once(W::pmd).is_table(vmsa::pmd_level) && m.read_once(W::slot(0)).valid()) {
        const bool frozen = m.update_word(pins, op::Update::add, 1) >= 100;
        const bool still =
            looks_at_the_pmd_again ? m.read_once(W::pmd).valid() : m.read_once(W::slot(0)).valid();
        if (still && !frozen) m.read_word(W::page(0), Order::acquire);
        if (still && frozen) m.read_word(W::page(0), Order::acquire);
      }
      m.set_mask(Mask::none);
    };
    return verdict({collapse, gup_fast});
  };
  EXPECT_EQ(collapsed(false), "warning none")
      << "use after free: it looked at the leaf, which is there until the copy";
  EXPECT_EQ(collapsed(true), "safe");
}

/// A table that two processes share is unshared before the split, and shared again in between.
TEST(PublicBugs, N081056dc00a2_UnsharedTooEarly) {  // N4
  auto split = [](bool under_one_lock) {
    const Task splitter = [=](ModelMachine& m) {
      m.lock(Lock::memory_hotplug);
      m.write_once(U::b.pmd, {});
      m.dsb(Dsb::ishst);
      m.tlbi({.op = vmsa::aside1is, .asid = U::b.asid});
      m.dsb(Dsb::ish);
      if (!under_one_lock) m.unlock(Lock::memory_hotplug), m.lock(Lock::memory_hotplug);
      // It now holds the table to be A's alone, which exits.
      m.write_once(U::a.pmd, {});
      m.dsb(Dsb::ishst);
      m.tlbi({.op = vmsa::aside1is, .asid = U::a.asid});
      m.dsb(Dsb::ish);
      m.free_pages(U::a.pte, PageUse::table, 0);
      m.unlock(Lock::memory_hotplug);
    };
    const Task faults_in = [](ModelMachine& m) {
      m.lock(Lock::memory_hotplug);
      if (const Descriptor shared = m.read_once(U::a.pmd); shared.valid() && m.read_once(U::b.pmd).none())
        m.write_once(U::b.pmd, shared), publish(m);
      m.unlock(Lock::memory_hotplug);
    };
    return U::verdict({splitter, faults_in}, [](U& u) {
      u.runs(0, U::a), u.runs(1, U::b);
      u.setup.world.memory.write(U::b.pmd, vmsa::make_table(W::r, U::a.pte));
    });
  };
  EXPECT_EQ(split(false), "stale-table freed-early");
  EXPECT_EQ(split(true), "safe");
}

// ---- hypervisors, as stage 1 ------------------------------------------------------------------------------------

TEST(PublicBugs, Kf62d4c3eb687_TablesFreedBeforeADeferredFlush) {  // K1
  auto zapped = [](bool deferred) {
    return verdict({[=](ModelMachine& m) {
                      m.write_once(W::pmd, {});
                      auto flush_range = [&] {
                        machine::Scope scope(m, "flush_range");
                        flush_everything(m);
                      };
                      if (!deferred) flush_range();
                      m.free_pages(W::pte, PageUse::table, 0);
                      if (deferred) flush_range();
                    },
                    bystander});
  };
  EXPECT_EQ(zapped(true), "stale-table freed-early");
  EXPECT_EQ(zapped(false), "safe");
}

// ---- other kernels and firmware -----------------------------------------------------------------------------------

/// EDK2 4418, Xen c16460ff07, illumos 205, OSv 1117: break, flush, make, DSB, and no ISB before the first use.
TEST(PublicBugs, O1_ANewMappingUsedWithoutAnIsb) {
  auto split = [](bool isb) {
    return verdict({[=](ModelMachine& m) {
                      unmap(m, 0);
                      m.write_once(W::slot(0), W::leaf(5));
                      m.dsb(Dsb::ishst);
                      if (isb) m.isb();
                      must_not_fault(m, W::at(0));
                    },
                    bystander});
  };
  EXPECT_EQ(split(false), "unexpected-fault no-isb");
  EXPECT_EQ(split(true), "safe");
}

/// tgoskits 2008 and 2009: no DSB before the TLBI; where it is local; an emptied table freed after flushes of leaves.
TEST(PublicBugs, O2_ThreeWaysOfFlushingTooLittle) {
  auto unmapped = [](void (*flush_it)(ModelMachine&)) {
    return verdict({[=](ModelMachine& m) {
                      m.write_once(W::slot(0), {});
                      flush_it(m);
                      m.release_range(W::one(0));
                    },
                    bystander});
  };
  EXPECT_EQ(unmapped([](ModelMachine& m) { m.tlbi(tlbi_of(0, vmsa::vaae1is)), complete(m); }),
            "stale-page tlbi-before-clear");
  EXPECT_EQ(unmapped([](ModelMachine& m) { flush(m, {.op = vmsa::vmalle1}); }), "stale-page scope");
  EXPECT_EQ(unmapped(flush_everything), "safe");

  auto emptied = [](bool flushed_again) {
    return verdict({[=](ModelMachine& m) {
                      for (unsigned i = 0; i < 4; ++i) {
                        m.write_once(W::slot(i), {});
                        flush(m, tlbi_of(i, vmsa::vaae1is));
                      }
                      m.write_once(W::pmd, {});
                      if (flushed_again)
                        flush(m, tlbi_of(0, vmsa::vaae1is));
                      else
                        m.dsb(Dsb::ish);
                      m.free_pages(W::pte, PageUse::table, 0);
                    },
                    bystander});
  };
  EXPECT_EQ(emptied(false), "stale-table tlbi-before-clear");
  EXPECT_EQ(emptied(true), "safe");
}

/// Zephyr 98344: VMALLE1 with more than one CPU; 115708: the operand shifted by the page size, not by 12.
TEST(PublicBugs, O3_ALocalFlushAndAShiftedOperand) {
  auto unmapped = [](vmsa::Tlbi t, std::size_t cpus = 2) {
    std::vector<Task> tasks(cpus, bystander);
    tasks[0] = [=](ModelMachine& m) {
      m.write_once(W::slot(1), {});
      flush(m, t);
      m.release_range(W::one(1));
    };
    return verdict(std::move(tasks));
  };
  EXPECT_EQ(unmapped({.op = vmsa::vmalle1}), "stale-page scope");
  EXPECT_EQ(unmapped({.op = vmsa::vmalle1}, 1), "safe");
  EXPECT_EQ(unmapped({.op = vmsa::vaae1is, .va = VirtAddr(W::at(1).value >> 2)}), "stale-page coverage");
  EXPECT_EQ(unmapped(tlbi_of(1, vmsa::vaae1is)), "safe");
}

/// illumos 220: pte_update() swaps one valid descriptor for another.
TEST(PublicBugs, O4_ACompareAndSwapIsNoBreak) {
  auto moved = [](bool broken_first) {
    return verdict({[=](ModelMachine& m) {
                      Descriptor old = W::leaf(0);
                      if (broken_first) m.xchg(W::slot(0), {}), flush(m, tlbi_of(0)), old = {};
                      m.cmpxchg(W::slot(0), old, W::leaf(5));
                      publish(m);
                    },
                    bystander});
  };
  EXPECT_EQ(moved(false), "break-before-make no-tlbi");
  EXPECT_EQ(moved(true), "safe");
}

/// illumos 220: walks by TTBR0 are let go before TTBR0 has the new root.
TEST(PublicBugs, O4_TheOldRootIsWalkedUntilTtbr0IsWritten) {
  auto switched = [](bool written_first) {
    return U::verdict({[=](ModelMachine& m) {
                        if (written_first) U::switch_to(m, U::b);
                        m.retire_asid(U::a.root, U::a.asid);
                        m.free_pages(U::a.root, PageUse::table, 0);
                        if (!written_first) U::switch_to(m, U::b);
                      }},
                      [](U& u) {
                        u.runs(0, U::a);
                        u.setup.world.memory.write(U::a.root, {});
                      });
  };
  EXPECT_EQ(switched(false), "stale-table freed-early");
  EXPECT_EQ(switched(true), "safe");
}

/// lk 386: bits of the address land in the TTL field: the granule and level are another's.
TEST(PublicBugs, O5_AddressBitsInTheLevelHint) {
  auto unmapped = [](vmsa::Tlbi t) {
    return verdict({[=](ModelMachine& m) {
                      m.write_once(W::slot(0), {});
                      flush(m, t);
                      m.release_range(W::one(0));
                    },
                    bystander});
  };
  vmsa::Tlbi wrong = tlbi_of(0);
  wrong.ttl = vmsa::page_level;
  wrong.page_shift = 16;
  EXPECT_EQ(unmapped(wrong), "stale-page coverage");
  EXPECT_EQ(unmapped(tlbi_of(0)), "safe");
}

}  // namespace
}  // namespace shootdown::model
