// SPDX-License-Identifier: MIT
// User address spaces: who may hold what of which, ASIDs that are flushed, retired and given again, TTBR0 that is
// written and not yet in force (RULES 6, 8, 23).
#include <gtest/gtest.h>

#include "tests/negative/user_world.hpp"

namespace shootdown::model {
namespace {

using U = UserWorld;

/// The page at user address 0 of process A is unmapped, flushed as told, and given back.
Task unmaps(vmsa::Tlbi t, bool isb = false) {
  return [=](ModelMachine& m) {
    m.write_once(U::slot(U::a), {});
    m.dsb(Dsb::ishst);
    m.tlbi(t);
    m.dsb(Dsb::ish);
    if (isb) m.isb();
    m.release_range(W::one(4));
  };
}
vmsa::Tlbi va_of(std::uint16_t asid, vmsa::TlbiOp op = vmsa::vale1is) {
  return {.op = op, .va = VirtAddr(0), .asid = asid};
}

// ---- who may hold it --------------------------------------------------------------------------------------------

TEST(AddressSpace, ACpuThatNeverRanItHoldsNoneOfIt) {  // R1, R4: local TLBI if the mm only ever ran here
  auto unmapped = [](vmsa::TlbiOp op, std::vector<unsigned> ran_on) {
    return U::verdict({unmaps(va_of(U::a.asid, op)), bystander}, [=](U& u) {
      for (unsigned cpu : ran_on) u.runs(cpu, U::a);
    });
  };
  EXPECT_EQ(unmapped(local(vmsa::vale1is), {0}), "safe");
  EXPECT_EQ(unmapped(local(vmsa::vale1is), {0, 1}), "stale-page scope");
  EXPECT_EQ(unmapped(local(vmsa::vale1is), {1}), "stale-page scope");
  EXPECT_EQ(unmapped(vmsa::vale1is, {0, 1}), "safe");
}

/// The mm runs on CPU 0 alone, while CPU 1 may switch to it: "active_cpu" of the RFC is looked at after the store.
TEST(AddressSpace, TheLocalFlushMustSeeWhoBeganToRunIt) {
  auto raced = [](bool barrier_before_looking, bool barrier_before_running) {
    const Task unmap_it = [=](ModelMachine& m) {
      m.write_once(U::slot(U::a), {});
      m.dsb(barrier_before_looking ? Dsb::ish : Dsb::nsh);
      const bool elsewhere = m.read_word(flag_word) != 0;
      if (barrier_before_looking || elsewhere) m.dsb(Dsb::ishst);
      m.tlbi(va_of(U::a.asid, elsewhere ? vmsa::vale1is : local(vmsa::vale1is)));
      m.dsb(elsewhere ? Dsb::ish : Dsb::nsh);
      m.dsb(Dsb::ish);
      m.release_range(W::one(4));
    };
    const Task run_it = [=](ModelMachine& m) {
      m.write_word(flag_word, 1);
      if (barrier_before_running) m.dsb(Dsb::ish);
      U::switch_to(m, U::a);
    };
    return U::verdict({unmap_it, run_it}, [](U& u) { u.runs(0, U::a); });
  };
  EXPECT_EQ(raced(true, true), "safe");
  EXPECT_EQ(raced(true, false), "stale-page scope");
  EXPECT_EQ(raced(false, true), "stale-page tlbi-before-clear") << "it looked before the clear was visible";
}

TEST(AddressSpace, OneThatIsLeftIsHeldUntilItIsFlushed) {
  auto left = [](vmsa::TlbiOp op) {
    return U::verdict({unmaps(va_of(U::a.asid, op)), [](ModelMachine& m) { U::switch_to(m, U::b); }},
                      [](U& u) { u.runs(0, U::a), u.runs(1, U::a); });
  };
  EXPECT_EQ(left(local(vmsa::vale1is)), "stale-page scope");
  EXPECT_EQ(left(vmsa::vale1is), "safe");
}

TEST(AddressSpace, FlushedOnTheWayOutItIsHeldNoMore) {
  auto gone = [](bool flushed) {
    const Task leave = [=](ModelMachine& m) {
      U::switch_to(m, U::b);
      vmsa::Tlbi all{.op = local(vmsa::aside1is), .asid = U::a.asid};
      if (flushed) m.tlbi(all);
      m.dsb(Dsb::ish);
      m.isb();
      m.write_word(flag_word, 1, Order::release);
    };
    const Task unmap_it = [](ModelMachine& m) {
      m.await_word(flag_word, ~std::uint64_t{0}, 1);
      unmaps(va_of(U::a.asid, local(vmsa::vale1is)))(m);
    };
    return U::verdict({unmap_it, leave}, [](U& u) { u.runs(0, U::a), u.runs(1, U::a); });
  };
  EXPECT_EQ(gone(false), "stale-page scope");
  EXPECT_EQ(gone(true), "safe");
}

// ---- which ASID -------------------------------------------------------------------------------------------------

TEST(Asid, ANonGlobalEntryGoesByItsOwn) {
  auto unmapped = [](vmsa::Tlbi t) {
    return U::verdict({unmaps(t), bystander}, [](U& u) { u.runs(1, U::a); });
  };
  EXPECT_EQ(unmapped(va_of(U::b.asid)), "stale-page asid");
  EXPECT_EQ(unmapped({.op = vmsa::aside1is, .asid = U::b.asid}), "stale-page asid");
  EXPECT_EQ(unmapped({.op = vmsa::aside1is, .asid = U::a.asid}), "safe");
  EXPECT_EQ(unmapped(va_of(U::a.asid)), "safe");
  EXPECT_EQ(unmapped(va_of(0, vmsa::vaale1is)), "safe");
}

TEST(Asid, ATableOfAProcessGoesByItsAsid) {  // RULES 8: Linux relies on it when an address space exits
  auto freed = [](vmsa::Tlbi t) {
    return U::verdict({[=](ModelMachine& m) {
                         m.write_once(U::a.root, {});
                         m.dsb(Dsb::ishst);
                         m.tlbi(t);
                         m.dsb(Dsb::ish);
                         for (PhysAddr table : {U::a.pmd, U::a.pte}) m.free_pages(table, PageUse::table, 0);
                       },
                       bystander},
                      [](U& u) { u.runs(1, U::a); });
  };
  EXPECT_EQ(freed({.op = vmsa::aside1is, .asid = U::a.asid}), "safe");
  EXPECT_EQ(freed({.op = vmsa::aside1is, .asid = U::b.asid}), "stale-table asid");
  EXPECT_EQ(freed(va_of(U::a.asid)), "stale-table last-level");
  EXPECT_EQ(freed(va_of(U::a.asid, vmsa::vae1is)), "safe");
}

TEST(Asid, UserPagesNeedNoIsbToBeFreed) {  // RULES 6: Linux issues none
  EXPECT_EQ(U::verdict({unmaps(va_of(U::a.asid)), bystander}, [](U& u) { u.runs(0, U::a), u.runs(1, U::a); }),
            "safe");
}

/// The second half of rule 6: its own access before the next context synchronisation may still use the entry.
TEST(Asid, TheIssuersOwnAccessMayStillUseTheEntry) {
  auto accessed = [](bool isb) {
    return U::verdict({[=](ModelMachine& m) {
                        m.write_once(U::slot(U::a), {});
                        flush_user(m, va_of(U::a.asid));
                        if (isb) m.isb();
                        if (m.load_user(VirtAddr(0)).faulted == 0) m.warn("the old page was read");
                      }},
                      [](U& u) { u.runs(0, U::a); });
  };
  EXPECT_EQ(accessed(false), "warning none");
  EXPECT_EQ(accessed(true), "safe");
}

// ---- retired and given again (rule 23) ----------------------------------------------------------------------------

/// A ends with no flush at all; its ASID is retired.
void exits(ModelMachine& m) {
  U::switch_to(m, {});
  m.retire_asid(U::a.root, U::a.asid);
  m.write_once(U::slot(U::a), {});
  m.dsb(Dsb::ish);
  m.release_range(W::one(4));
}

TEST(Asid, ARetiredOneHarmsNobody) {
  EXPECT_EQ(U::verdict({exits, bystander}, [](U& u) { u.runs(0, U::a); }), "safe");
}

TEST(Asid, ALiveOneIsFlushedAtExit) {
  EXPECT_EQ(U::verdict({[](ModelMachine& m) {
                          U::switch_to(m, {});
                          m.write_once(U::slot(U::a), {});
                          m.dsb(Dsb::ish);
                          m.release_range(W::one(4));
                        },
                        bystander},
                       [](U& u) { u.runs(0, U::a); }),
            "stale-page no-tlbi");
}

TEST(Asid, OneThatIsGivenAgainIsFlushedFirst) {  // Zephyr 113559, 113569: reused, or given twice
  auto given_again = [](void (*flush_it)(ModelMachine&)) {
    return U::verdict({[=](ModelMachine& m) {
                         exits(m);
                         flush_it(m);
                         U::switch_to(m, {U::b.root, U::b.pmd, U::b.pte, U::a.asid});
                       },
                       bystander},
                      [](U& u) { u.runs(0, U::a); });
  };
  EXPECT_EQ(given_again(bystander), "stale-page asid");
  EXPECT_EQ(
      given_again([](ModelMachine& m) { m.tlbi({.op = local(vmsa::vmalle1is)}), m.dsb(Dsb::nsh), m.isb(); }),
      "safe");
  EXPECT_EQ(given_again([](ModelMachine& m) {
              m.tlbi({.op = local(vmsa::aside1is), .asid = U::b.asid}), m.dsb(Dsb::nsh), m.isb();
            }),
            "stale-page asid");
}

TEST(Asid, EachCpuFlushesBeforeItRunsWithItAgain) {
  auto on_another = [](bool flushes) {
    return U::verdict({[](ModelMachine& m) {
                         m.await_word(flag_word, ~std::uint64_t{0}, 1);
                         exits(m);
                         m.write_word(flag_word, 2, Order::release);
                       },
                       [=](ModelMachine& m) {
                         U::switch_to(m, {});
                         m.write_word(flag_word, 1, Order::release);
                         m.await_word(flag_word, ~std::uint64_t{0}, 2);
                         if (flushes)
                           m.dsb(Dsb::ish), m.tlbi({.op = local(vmsa::vmalle1is)}), m.dsb(Dsb::nsh), m.isb();
                         U::switch_to(m, {U::b.root, U::b.pmd, U::b.pte, U::a.asid});
                       }},
                      [](U& u) { u.runs(0, U::a), u.runs(1, U::a); });
  };
  EXPECT_EQ(on_another(false), "stale-page asid");
  EXPECT_EQ(on_another(true), "safe");
}

// ---- TTBR0 ------------------------------------------------------------------------------------------------------

TEST(Ttbr0, IsInForceAloneAfterAnIsb) {
  auto flushed_on_the_way = [](bool isb) {
    return U::verdict({[=](ModelMachine& m) {
                         m.write_ttbr0(U::b.root, U::b.asid);
                         if (isb) m.isb();
                         m.tlbi({.op = local(vmsa::aside1is), .asid = U::a.asid});
                         m.dsb(Dsb::nsh);
                         m.isb();
                         m.write_word(flag_word, 1, Order::release);
                       },
                       [](ModelMachine& m) {  // A is unmapped by a CPU that believes that nobody holds it
                         m.await_word(flag_word, ~std::uint64_t{0}, 1);
                         m.write_once(U::slot(U::a), {});
                         m.dsb(Dsb::ish);
                         m.release_range(W::one(4));
                       }},
                      [](U& u) { u.runs(0, U::a); });
  };
  EXPECT_EQ(flushed_on_the_way(true), "safe");
  EXPECT_EQ(flushed_on_the_way(false), "stale-page no-tlbi") << "walks by A went on";
}

/// Zephyr 37600: the flush came before the switch, and A was walked in between.
TEST(Ttbr0, TheFlushComesBehindTheSwitch) {
  auto order = [](bool flush_first) {
    const auto drop_a = [](ModelMachine& m) {
      m.tlbi({.op = local(vmsa::aside1is), .asid = U::a.asid});
      m.dsb(Dsb::nsh);
      m.isb();
    };
    return U::verdict({[=](ModelMachine& m) {
                        if (flush_first) drop_a(m);
                        U::switch_to(m, U::b);
                        if (!flush_first) drop_a(m);
                        m.retire_asid(U::a.root, U::a.asid);
                        m.write_once(U::slot(U::a), {});
                        m.dsb(Dsb::ish);
                        m.release_range(W::one(4));
                        U::switch_to(m, {U::b.root, U::b.pmd, U::b.pte, U::a.asid});
                      }},
                      [](U& u) { u.runs(0, U::a); });
  };
  EXPECT_EQ(order(true), "stale-page asid");
  EXPECT_EQ(order(false), "safe");
}

TEST(Ttbr0, AnAccessBehindTheWriteMayUseEither) {
  auto read = [](bool isb) {
    return U::verdict({[=](ModelMachine& m) {
                        m.write_ttbr0(U::b.root, U::b.asid);
                        if (isb) m.isb();
                        if (m.load_user(VirtAddr(0)).value != 5) m.warn("another process's page");
                      }},
                      [](U& u) {
                        u.runs(0, U::a);
                        for (unsigned i : {4u, 5u}) u.setup.world.memory.write(W::page(i), Descriptor{i});
                      });
  };
  EXPECT_EQ(read(false), "warning none");
  EXPECT_EQ(read(true), "safe");
}

// ---- two spaces, one table (N4, 081056dc00a2: hugetlb's shared tables) ------------------------------------------------

TEST(SharedTables, GoWhenTheLastProcessHasLeftThem) {
  auto freed = [](bool unlinked_from_b, bool flushed_for_b) {
    return U::verdict({[=](ModelMachine& m) {
                         m.write_once(U::a.pmd, {});
                         if (unlinked_from_b) m.write_once(U::b.pmd, {});
                         m.dsb(Dsb::ishst);
                         m.tlbi({.op = vmsa::aside1is, .asid = U::a.asid});
                         if (flushed_for_b) m.tlbi({.op = vmsa::aside1is, .asid = U::b.asid});
                         m.dsb(Dsb::ish);
                         m.free_pages(U::a.pte, PageUse::table, 0);
                       },
                       bystander},
                      [](U& u) {
                        u.runs(0, U::a), u.runs(1, U::b);
                        u.setup.world.memory.write(U::b.pmd, vmsa::make_table(W::r, U::a.pte));
                      });
  };
  EXPECT_EQ(freed(false, false), "stale-table freed-early") << "B still links it";
  EXPECT_EQ(freed(true, false), "stale-table asid");
  EXPECT_EQ(freed(true, true), "safe");
}

// ---- global and not ---------------------------------------------------------------------------------------------

TEST(AddressSpace, AGlobalUserEntryIsEverybodys) {
  auto unmapped = [](bool global, vmsa::Tlbi t) {
    return U::verdict({unmaps(t), bystander}, [=](U& u) {
      u.runs(1, U::a);
      u.setup.world.memory.write(U::slot(U::a), W::leaf(4, {.user = true, .not_global = !global}));
    });
  };
  EXPECT_EQ(unmapped(true, va_of(U::b.asid)), "safe") << "a leaf that is global goes by any ASID";
  EXPECT_EQ(unmapped(false, va_of(U::b.asid)), "stale-page asid");
}

}  // namespace
}  // namespace shootdown::model
