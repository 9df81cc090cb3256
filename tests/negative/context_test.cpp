// SPDX-License-Identifier: MIT
// The kernel half as a context: which forms of a TLBI reach its walk-cache entries, and how tables that hang together
// go. Walk-cache entries carry the ASID of whatever ran (RULES 8, R_JXKNN).
#include <gtest/gtest.h>

#include "tests/negative/verdict.hpp"

namespace shootdown::model {
namespace {

/// The table of pages is unlinked, the addresses of all its pages flushed, and it is freed.
std::string table_freed(vmsa::TlbiOp op, std::uint16_t asid = 0) {
  return verdict({[=](ModelMachine& m) {
                    m.write_once(W::pmd, {});
                    m.dsb(Dsb::ishst);
                    for (unsigned i = 0; i < 4; ++i) {
                      vmsa::Tlbi t = tlbi_of(i, op);
                      t.asid = asid;
                      m.tlbi(t);
                    }
                    complete(m);
                    m.free_pages(W::pte, PageUse::table, 0);
                  },
                  reader(0)});
}

TEST(KernelTables, GoByFormsForEveryAsid) {  // C1 to C4
  for (std::uint16_t asid : {0, 1}) {
    EXPECT_EQ(table_freed(vmsa::vae1is, asid), "stale-table asid");
    EXPECT_EQ(table_freed(vmsa::aside1is, asid), "stale-table asid");
  }
  EXPECT_EQ(table_freed(vmsa::vaale1is), "stale-table last-level");
  EXPECT_EQ(table_freed(vmsa::vaae1is), "safe");
  EXPECT_EQ(table_freed(vmsa::vmalle1is), "safe");
}

TEST(KernelTables, AnotherCpusBarrierCompletesNothing) {
  EXPECT_EQ(table_freed(local(vmsa::vmalle1is)), "stale-table scope");
}

/// Two tables below one that is unlinked: each has entries at its own addresses.
TEST(KernelTables, EachTableBelowNeedsItsAddress) {
  auto both_freed = [](unsigned flushed) {
    return verdict({[=](ModelMachine& m) {
                      m.write_once(W::root, {});
                      m.dsb(Dsb::ishst);
                      for (unsigned i = 0; i < flushed; ++i) m.tlbi(tlbi_of(4 * i, vmsa::vaae1is));
                      complete(m);
                      for (PhysAddr t : {W::pmd, W::spare}) m.free_pages(t, PageUse::table, 0);
                    },
                    reader(5)},
                   {.world = [](W& w) {
                     for (unsigned i = 0; i < 4; ++i) w.setup.world.memory.write(W::slot(i), {});
                     w.setup.world.memory.write(W::pmd + 8, vmsa::make_table(W::r, W::spare));
                   }});
  };
  EXPECT_EQ(both_freed(1), "stale-table no-tlbi");
  EXPECT_EQ(both_freed(2), "safe");
}

/// A table moves to other addresses and keeps its leaves.
TEST(KernelTables, AMovedTableIsFlushedWhereItWas) {
  auto moved = [](void (*flush_it)(ModelMachine&)) {
    return search_tasks({[=](ModelMachine& m) {
                           m.write_once(W::pmd, {});
                           flush_it(m);
                           m.write_once(W::pmd + 8, vmsa::make_table(W::r, W::pte));
                           publish(m);
                           m.write_once(W::slot(1), {});
                           flush(m, tlbi_of(5, vmsa::vaae1is));  // its new address
                           m.release_range(W::one(1));
                         },
                         reader(1)})
        .harm();
  };
  EXPECT_EQ(moved([](ModelMachine& m) { m.dsb(Dsb::ish); }), shadow::Harm::stale_page);
  EXPECT_EQ(moved([](ModelMachine& m) { flush(m, tlbi_of(0, vmsa::vaae1is)); }), shadow::Harm::stale_page)
      << "its first address is not its second";
  EXPECT_EQ(moved(flush_everything), shadow::Harm::none);
}

TEST(KernelTables, AFreedOneMayBeAnythingAfterItsFlush) {
  auto reused = [](vmsa::TlbiOp op, PageUse as) {
    return verdict({[=](ModelMachine& m) {
                      for (unsigned i = 0; i < 4; ++i) m.write_once(W::slot(i), {});
                      flush_everything(m);
                      m.write_once(W::pmd, {});
                      flush(m, tlbi_of(0, op));
                      m.free_pages(W::pte, PageUse::table, 0);
                      const PhysAddr page = m.alloc_pages(as, 0);
                      if (as == PageUse::data) return m.data_store(page, 0x403);
                      m.clear_page(page);
                      m.dsb(Dsb::ishst);
                      m.write_once(W::root + 8, vmsa::make_table(W::r, page));
                      publish(m);
                    },
                    reader(0)},
                   {.world = [](W& w) {
                     w.setup.features.hardware_access_flag = true;
                     w.setup.world.page_at(W::pte)->allocatable = true;
                   }});
  };
  for (const PageUse as : {PageUse::table, PageUse::data}) {
    EXPECT_EQ(reused(vmsa::vaae1is, as), "safe");
    EXPECT_EQ(reused(vmsa::vaale1is, as), "stale-table last-level");
  }
}

// ---- break-before-make across tables and levels -----------------------------------------------------------------

TEST(BreakBeforeMake, ATableForAnIdenticalOneIsNone) {  // N1
  auto replaced = [](unsigned different) {
    return verdict({[=](ModelMachine& m) {
                      for (unsigned i = 0; i < 4; ++i)
                        m.write_once(W::spare + i * 8, W::leaf(i == different ? 5 : i));
                      m.dsb(Dsb::ishst);
                      m.write_once(W::pmd, vmsa::make_table(W::r, W::spare));
                      flush_everything(m);
                      m.free_pages(W::pte, PageUse::table, 0);
                    },
                    reader(0)});
  };
  EXPECT_EQ(replaced(4), "safe");
  EXPECT_EQ(replaced(2), "break-before-make no-tlbi");
}

TEST(BreakBeforeMake, ABlockOverATableFurtherDown) {  // N2: 3a0b870e3448, one level up
  auto collapsed = [](void (*flush_it)(ModelMachine&)) {
    return search_tasks({[=](ModelMachine& m) {
                           m.write_once(W::root, {});
                           flush_it(m);
                           m.write_once(W::root,
                                        vmsa::make_leaf(W::r, vmsa::pud_level, W::data, vmsa::page_kernel));
                           publish(m);
                         },
                         bystander},
                        {.world = [](W& w) {
                          for (unsigned i = 0; i < 4; ++i) w.setup.world.memory.write(W::slot(i), {});
                          w.setup.world.memory.write(W::pmd + 8, vmsa::make_table(W::r, W::spare));
                        }});
  };
  const Found one = collapsed([](ModelMachine& m) { flush(m, tlbi_of(0, vmsa::vaae1is)); });
  EXPECT_EQ(verdict(one), "break-before-make no-tlbi");
  EXPECT_EQ(one.violation->finding.conflict, vmsa::Conflict::block_size);
  EXPECT_EQ(verdict(collapsed(flush_everything)), "safe");
  EXPECT_EQ(verdict(collapsed([](ModelMachine& m) {
              m.dsb(Dsb::ishst), m.tlbi(tlbi_of(0, vmsa::vaae1is)), m.tlbi(tlbi_of(4, vmsa::vaae1is)),
                  complete(m);
            })),
            "safe");
}

TEST(BreakBeforeMake, AnotherAddressWithTheSameContents) {  // N3, R_WHZWS: both read-only
  auto moved = [](const vmsa::Attributes& a, bool same_contents) {
    return verdict({[=](ModelMachine& m) {
                      m.write_once(W::slot(0), W::leaf(5, a));
                      flush(m, tlbi_of(0));
                      m.release_range(W::one(0));
                    },
                    reader(0)},
                   {.attributes = a, .world = [=](W& w) {
                      for (unsigned i : {0u, 5u}) w.setup.world.memory.write(W::page(i), Descriptor{42});
                      if (!same_contents) w.setup.world.memory.write(W::page(5) + 8, Descriptor{1});
                    }});
  };
  EXPECT_EQ(moved({.read_only = true}, true), "safe");
  EXPECT_EQ(moved({.read_only = true}, false), "break-before-make no-tlbi");
  EXPECT_EQ(moved({}, true), "break-before-make no-tlbi") << "writable";
  EXPECT_EQ(moved({.read_only = true, .dbm = true}, true), "break-before-make no-tlbi")
      << "writable, only clean";
}

TEST(BreakBeforeMake, EqualPagesUntilAStoreUnderWayIsVisible) {
  auto moved = [](std::uint64_t stored, bool flushed) {
    return verdict({[=](ModelMachine& m) {
                      m.write_word(W::page(5) + 8, stored);
                      if (flushed) m.write_once(W::slot(0), {}), flush(m, tlbi_of(0));
                      m.write_once(W::slot(0), W::leaf(5, {.read_only = true}));
                      publish(m);
                    },
                    reader(0)},
                   {.attributes = {.read_only = true}, .world = [](W& w) {
                      for (unsigned i : {0u, 5u}) w.setup.world.memory.write(W::page(i), Descriptor{42});
                    }});
  };
  EXPECT_EQ(moved(0, false), "safe") << "it changes nothing";
  EXPECT_EQ(moved(1, false), "break-before-make no-tlbi");
  EXPECT_EQ(moved(1, true), "safe");
}

TEST(BreakBeforeMake, TheBreakMustBeFlushed) {
  auto remapped = [](void (*flush_it)(ModelMachine&)) {
    return verdict({[=](ModelMachine& m) {
                      m.write_once(W::slot(0), {});
                      flush_it(m);
                      m.write_once(W::slot(0), W::leaf(5));
                      publish(m);
                    },
                    reader(0)});
  };
  EXPECT_EQ(remapped([](ModelMachine& m) { m.dsb(Dsb::ish); }), "break-before-make no-tlbi");
  EXPECT_EQ(remapped([](ModelMachine& m) { m.dsb(Dsb::ishst), m.tlbi(tlbi_of(0)); }),
            "break-before-make no-dsb");
  EXPECT_EQ(remapped([](ModelMachine& m) { m.tlbi(tlbi_of(0)), complete(m); }),
            "break-before-make tlbi-before-clear");
  EXPECT_EQ(remapped([](ModelMachine& m) { flush(m, tlbi_of(0)); }), "safe");
}

/// One CPU breaks, another makes: under a lock, that is fine; without the flush in the break it is not.
TEST(BreakBeforeMake, TheBreakOfOneAndTheMakeOfAnother) {
  auto by_two = [](bool flushed) {
    return verdict({[=](ModelMachine& m) {
                      m.lock(Lock::memory_hotplug);
                      if (flushed)
                        unmap(m, 0);
                      else
                        m.write_once(W::slot(0), {}), complete(m);
                      m.unlock(Lock::memory_hotplug);
                    },
                    [](ModelMachine& m) {
                      m.lock(Lock::memory_hotplug);
                      if (m.read_once(W::slot(0)).none()) m.write_once(W::slot(0), W::leaf(6)), publish(m);
                      m.unlock(Lock::memory_hotplug);
                    }});
  };
  EXPECT_EQ(by_two(false), "break-before-make no-tlbi");
  EXPECT_EQ(by_two(true), "safe");
}

}  // namespace
}  // namespace shootdown::model
