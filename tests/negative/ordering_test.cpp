// SPDX-License-Identifier: MIT
// What orders a store before a TLBI, before a walk and before another store: a DSB of its CPU, and for other stores
// what is made for them. Not locks, not atomics, not the end of anything (K11.5.3.1; RULES 4).
#include <gtest/gtest.h>

#include "tests/negative/verdict.hpp"

namespace shootdown::model {
namespace {

using Clear = void (*)(ModelMachine&);

/// Page 0 is cleared in some way, flushed and given back; with or without the DSB in between.
std::string unmapped(Clear clear, bool dsb) {
  return verdict({[=](ModelMachine& m) {
                    clear(m);
                    if (dsb) m.dsb(Dsb::ishst);
                    m.tlbi(tlbi_of(0));
                    complete(m);
                    m.release_range(W::one(0));
                  },
                  reader(0)});
}
void expect_needs_dsb(const char* what, Clear clear) {
  EXPECT_EQ(unmapped(clear, false), "stale-page tlbi-before-clear") << what;
  EXPECT_EQ(unmapped(clear, true), "safe") << what;
}

TEST(BeforeATlbi, OnlyADsbOrdersAClear) {  // A0 to A4, A6
  expect_needs_dsb("nothing", [](ModelMachine& m) { m.write_once(W::slot(0), {}); });
  expect_needs_dsb("an unlock", [](ModelMachine& m) {
    m.lock(Lock::init_mm_page_table);
    m.write_once(W::slot(0), {});
    m.unlock(Lock::init_mm_page_table);
  });
  expect_needs_dsb("the unlock of a lock held shared", [](ModelMachine& m) {
    m.lock_shared(Lock::memory_hotplug);
    m.write_once(W::slot(0), {});
    m.unlock_shared(Lock::memory_hotplug);
  });
  expect_needs_dsb("compare and swap", [](ModelMachine& m) { m.cmpxchg(W::slot(0), W::leaf(0), {}); });
  expect_needs_dsb("an exchange", [](ModelMachine& m) { m.xchg(W::slot(0), {}); });
  expect_needs_dsb("an atomic that clears the valid bit",
                   [](ModelMachine& m) { m.fetch_andnot(W::slot(0), Descriptor::valid_bit); });
  expect_needs_dsb("a failing compare and swap elsewhere", [](ModelMachine& m) {
    m.write_once(W::slot(0), {});
    m.cmpxchg(W::slot(1), Descriptor{}, {});
  });
  expect_needs_dsb("an ordered atomic elsewhere", [](ModelMachine& m) {
    m.write_once(W::slot(0), {});
    m.update_word(flag_word, op::Update::add, 1);
  });
  expect_needs_dsb("freeing another page", [](ModelMachine& m) {
    m.write_once(W::slot(0), {});
    m.free_pages(W::page(5), PageUse::data, 0);
  });
  expect_needs_dsb("a store-release", [](ModelMachine& m) { m.store_release(W::slot(0), {}); });
  expect_needs_dsb("DMB ISHST", [](ModelMachine& m) { m.write_once(W::slot(0), {}), m.dmb(Dmb::ishst); });
  expect_needs_dsb("DMB ISH", [](ModelMachine& m) { m.write_once(W::slot(0), {}), m.dmb(Dmb::ish); });
  expect_needs_dsb("ISB", [](ModelMachine& m) { m.write_once(W::slot(0), {}), m.isb(); });
  expect_needs_dsb("DSB NSHST", [](ModelMachine& m) { m.write_once(W::slot(0), {}), m.dsb(Dsb::nshst); });
  expect_needs_dsb("DSB NSH", [](ModelMachine& m) { m.write_once(W::slot(0), {}), m.dsb(Dsb::nsh); });
}

/// Who sees another CPU's clear must have a DSB of its own between what it saw and the TLBI.
TEST(BeforeATlbi, AnotherCpusClearNeedsTheIssuersDsb) {  // A5
  auto seen_and_flushed = [](bool dsb_by_writer, bool dsb_by_issuer) {
    return verdict({[=](ModelMachine& m) {
                      m.lock(Lock::init_mm_page_table);
                      m.write_once(W::slot(0), {});
                      if (dsb_by_writer) m.dsb(Dsb::ishst);
                      m.unlock(Lock::init_mm_page_table);
                    },
                    [=](ModelMachine& m) {
                      m.lock(Lock::init_mm_page_table);
                      const bool gone = m.read_once(W::slot(0)).none();
                      m.unlock(Lock::init_mm_page_table);
                      if (!gone) return;
                      if (dsb_by_issuer) m.dsb(Dsb::ishst);
                      m.tlbi(tlbi_of(0));
                      complete(m);
                      m.release_range(W::one(0));
                    },
                    reader(0)});
  };
  EXPECT_EQ(seen_and_flushed(false, false), "stale-page tlbi-before-clear");
  EXPECT_EQ(seen_and_flushed(true, false), "stale-page tlbi-before-clear");
  EXPECT_EQ(seen_and_flushed(false, true), "safe");
}

// ---- the CPU's own walker -------------------------------------------------------------------------------------

std::string mapped_and_used(Clear between) {
  return verdict({[=](ModelMachine& m) {
                    m.write_once(W::slot(0), W::leaf(0));
                    between(m);
                    must_not_fault(m, W::at(0));
                  },
                  reader(1)},
                 {.world = [](W& w) { w.setup.world.memory.write(W::slot(0), {}); }});
}

TEST(BeforeAnOwnWalk, OnlyADsbAndAnIsbPublishAMapping) {  // A7, D3
  EXPECT_EQ(mapped_and_used([](ModelMachine& m) { m.dmb(Dmb::ish), m.isb(); }), "unexpected-fault no-dsb");
  EXPECT_EQ(mapped_and_used([](ModelMachine& m) {
              m.lock(Lock::init_mm_page_table), m.unlock(Lock::init_mm_page_table), m.isb();
            }),
            "unexpected-fault no-dsb");
  EXPECT_EQ(mapped_and_used([](ModelMachine& m) { m.dsb(Dsb::ishst); }), "unexpected-fault no-isb");
  EXPECT_EQ(mapped_and_used([](ModelMachine& m) { m.isb(), m.dsb(Dsb::ishst); }), "unexpected-fault no-isb");
  for (const Clear right : {Clear([](ModelMachine& m) { m.dsb(Dsb::ishst), m.isb(); }),
                            Clear([](ModelMachine& m) { m.dsb(Dsb::nshst), m.isb(); }),
                            Clear([](ModelMachine& m) { m.dsb(Dsb::nsh), m.isb(); })})
    EXPECT_EQ(mapped_and_used(right), "safe");
}

// ---- local maintenance ----------------------------------------------------------------------------------------

std::string unmapped_locally(Dsb before, Dsb after, bool isb, unsigned cpus = 1) {
  std::vector<Task> tasks(cpus, bystander);
  tasks[0] = [=](ModelMachine& m) {
    m.write_once(W::slot(0), {});
    m.dsb(before);
    m.tlbi(tlbi_of(0, local(vmsa::vaale1is)));
    m.dsb(after);
    if (isb) m.isb();
    m.release_range(W::one(0));
  };
  return verdict(std::move(tasks));
}

TEST(LocalMaintenance, NeedsNoMoreThanNonShareableBarriers) {  // D1, D2
  EXPECT_EQ(unmapped_locally(Dsb::nshst, Dsb::nsh, true), "safe");
  EXPECT_EQ(unmapped_locally(Dsb::ishst, Dsb::nsh, true), "safe");
  EXPECT_EQ(unmapped_locally(Dsb::ishst, Dsb::ish, true), "safe");
}

TEST(LocalMaintenance, NeedsItsBarriersAllTheSame) {
  EXPECT_EQ(unmapped_locally(Dsb::nshst, Dsb::nshst, true), "stale-page no-dsb");
  EXPECT_EQ(unmapped_locally(Dsb::nshst, Dsb::nsh, false), "stale-page no-isb");
  EXPECT_EQ(verdict({[](ModelMachine& m) {
              m.write_once(W::slot(0), {});
              m.tlbi(tlbi_of(0, local(vmsa::vaale1is)));
              m.dsb(Dsb::nsh);
              m.isb();
              m.release_range(W::one(0));
            }}),
            "stale-page tlbi-before-clear");
}

TEST(LocalMaintenance, IsNoneForOthers) {
  EXPECT_EQ(unmapped_locally(Dsb::ishst, Dsb::ish, true, 2), "stale-page scope");
}

// ---- one store before another -----------------------------------------------------------------------------------

/// A table's last word is zeroed; then the table is linked.
std::string linked(Clear between, Order order = Order::relaxed) {
  return verdict(
      {[=](ModelMachine& m) {
         m.write_once(W::spare, {});
         between(m);
         if (order == Order::relaxed)
           m.write_once(W::pmd + 8, vmsa::make_table(W::r, W::spare));
         else
           m.store_release(W::pmd + 8, vmsa::make_table(W::r, W::spare));
         publish(m);
       },
       reader(1)},
      {.world = [](W& w) { w.setup.world.memory.write(W::spare, Descriptor{0x9000'0000 | 0x403}); }});
}

TEST(BeforeALink, ZeroesNeedABarrierOrARelease) {  // A8a, A8c
  EXPECT_EQ(linked(bystander), "stale-page no-dsb");
  EXPECT_EQ(linked([](ModelMachine& m) { m.dsb(Dsb::ishst); }), "safe");
  EXPECT_EQ(linked([](ModelMachine& m) { m.dmb(Dmb::ishst); }), "safe") << "smp_wmb() of pmd_install()";
  EXPECT_EQ(linked(bystander, Order::release), "safe");
  EXPECT_EQ(linked([](ModelMachine& m) { m.dmb(Dmb::ishld); }), "stale-page no-dsb") << "orders no stores";
}

TEST(BeforeALink, LockAndUnlockOrderNothingAcrossThem) {  // A8b
  EXPECT_EQ(
      linked([](ModelMachine& m) { m.lock(Lock::init_mm_page_table), m.unlock(Lock::init_mm_page_table); }),
      "stale-page no-dsb");
}

}  // namespace
}  // namespace shootdown::model
