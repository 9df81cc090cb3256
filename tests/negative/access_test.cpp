// SPDX-License-Identifier: MIT
// Accesses and what hardware writes into descriptors: permissions, the access flag, the dirty state, and software that
// relies on any of them (RULES 2, 18 to 21).
#include <gtest/gtest.h>

#include "tests/negative/verdict.hpp"

namespace shootdown::model {
namespace {

using vmsa::AccessKind;
using vmsa::Right;

constexpr vmsa::Attributes old_page{.dbm = true, .accessed = false};
constexpr vmsa::Attributes read_only{.read_only = true};
constexpr vmsa::Attributes clean{.read_only = true, .dbm = true};  ///< writable, and not yet written
constexpr vmsa::VirtRange page_0{W::at(0), W::at(1)};

void with_access_flag(W& w) { w.setup.features.hardware_access_flag = true; }
void without_hardware(W& w) {
  w.setup.features.hardware_access_flag = w.setup.features.hardware_dirty = false;
}

// ---- the access flag: "never accessed, so never cached" ---------------------------------------------------------

/// An old page is unmapped and given back, with or without a flush.
std::string old_page_unmapped(bool flushed, void (*world)(W&)) {
  return verdict({[=](ModelMachine& m) {
                    m.write_once(W::slot(0), {});
                    m.dsb(Dsb::ish);
                    if (flushed) m.tlbi(tlbi_of(0)), complete(m);
                    m.release_range(W::one(0));
                  },
                  reader(0)},
                 {.attributes = old_page, .world = world});
}

TEST(AccessFlag, HardwareMaySetAndCacheItAtAnyTime) {  // B1, B2
  EXPECT_EQ(old_page_unmapped(false, with_access_flag), "stale-page no-tlbi");
  EXPECT_EQ(old_page_unmapped(true, with_access_flag), "safe");
  EXPECT_EQ(old_page_unmapped(false, without_hardware), "safe") << "a descriptor that faults is never cached";
}

TEST(AccessFlag, AnOldPageIsNotReplacedInPlace) {  // B3
  const Task replace = [](ModelMachine& m) {
    m.write_once(W::slot(0), W::leaf(5, old_page));
    publish(m);
  };
  EXPECT_EQ(verdict({replace, reader(0)}, {.attributes = old_page, .world = with_access_flag}),
            "break-before-make no-tlbi");
  EXPECT_EQ(verdict({replace, reader(0)}, {.attributes = old_page, .world = without_hardware}), "safe");
}

TEST(AccessFlag, AnOldPageLeadsToItsPageAllTheSame) {  // B6, B7
  for (const vmsa::Attributes& a : {old_page, vmsa::page_kernel}) {
    const Task map_a_free_page = [=](ModelMachine& m) {
      unmap(m, 0);
      m.free_pages(W::page(5), PageUse::data, 0);
      m.write_once(W::slot(0), W::leaf(5, a));
      publish(m);
    };
    EXPECT_EQ(search_tasks({map_a_free_page, reader(0)}, {.world = with_access_flag}).harm(),
              shadow::Harm::stale_page);
  }
}

TEST(AccessFlag, ItAppearsInTheDescriptor) {  // B5
  const Task look = [](ModelMachine& m) {
    m.load(W::at(0));
    if (!m.read_once(W::slot(0)).accessed()) m.warn("the flag is not set");
  };
  EXPECT_EQ(verdict({look}, {.attributes = old_page, .world = with_access_flag}), "safe")
      << "an access sets it";
  const Task never_touched = [](ModelMachine& m) {
    if (m.read_once(W::slot(0)).accessed()) m.warn("the flag is set");
  };
  EXPECT_EQ(verdict({never_touched}, {.attributes = old_page, .world = with_access_flag}), "warning none")
      << "and so does a speculative walk";
}

/// A software bit is added to an old leaf.
std::string software_bit_added(void (*add)(ModelMachine&)) {
  return verdict({add, reader(0)}, {.attributes = old_page, .world = with_access_flag});
}

TEST(AccessFlag, APlainStoreLosesWhatHardwareSets) {  // B4
  constexpr std::uint64_t software_bit = std::uint64_t{1} << 56;
  EXPECT_EQ(software_bit_added([](ModelMachine& m) {
              const Descriptor d = m.read_once(W::slot(0));
              m.write_once(W::slot(0), Descriptor{d.bits | software_bit});
            }),
            "lost-update none");
  EXPECT_EQ(software_bit_added([](ModelMachine& m) { m.fetch_or(W::slot(0), software_bit); }), "safe");
  EXPECT_EQ(software_bit_added([](ModelMachine& m) {
              Descriptor old = m.read_once(W::slot(0));
              for (;;) {
                m.live({old.bits});
                const Descriptor seen = m.cmpxchg(W::slot(0), old, Descriptor{old.bits | software_bit});
                if (seen == old) return;
                old = seen;
              }
            }),
            "safe");
}

TEST(AccessFlag,
     ACompareAndSwapThatIsNotLookedAtLosesNothing) {  // illumos 220: its caller believed otherwise
  EXPECT_EQ(software_bit_added([](ModelMachine& m) {
              const Descriptor old = W::leaf(0, old_page);
              const Descriptor now{old.bits | std::uint64_t{1} << 56};
              m.cmpxchg(W::slot(0), old, now);
              if (!m.read_once(W::slot(0)).has(std::uint64_t{1} << 56)) m.warn("the bit was not set");
            }),
            "warning none");
}

// ---- the dirty state --------------------------------------------------------------------------------------------

/// A page is written back: its leaf is looked at, unmapped and flushed; nobody may have written it unnoticed.
std::string written_back(bool by_exchange) {
  const Task write_back = [=](ModelMachine& m) {
    Descriptor old = m.read_once(W::slot(0));
    if (by_exchange)
      old = m.xchg(W::slot(0), {});
    else
      m.write_once(W::slot(0), {});
    flush(m, tlbi_of(0));
    if (vmsa::is_writable_clean(old)) m.rely_on_flag({}, 0, page_0, {Right::write});
  };
  const Task writer = [](ModelMachine& m) { m.store(W::at(0), 5); };
  return verdict({write_back, writer}, {.attributes = clean, .world = with_access_flag});
}

TEST(Dirty, APlainClearLosesAWriteThatItDidNotSee) {
  EXPECT_EQ(written_back(false), "lost-update none");
  EXPECT_EQ(written_back(true), "safe");
}

/// The dirty state is moved into the page's descriptor while another CPU may still write through its entry.
TEST(Dirty, ADirtyEntryMustBeFlushedBeforeCleanIsBelieved) {
  auto cleaned = [](bool flushed) {
    return verdict({[=](ModelMachine& m) {
                      m.fetch_or(W::slot(0), Descriptor::read_only_bit);  // ptep_set_wrprotect()
                      if (flushed)
                        flush(m, tlbi_of(0));
                      else
                        m.dsb(Dsb::ish);
                      m.rely_on_flag({}, 0, page_0, {Right::write});
                    },
                    [](ModelMachine& m) { m.store(W::at(0), 5); }},
                   {.world = [](W& w) {
                     with_access_flag(w);
                     w.setup.world.memory.write(W::slot(0), W::leaf(0, {.read_only = false}));
                   }});
  };
  EXPECT_EQ(cleaned(false), "lost-update no-tlbi");
  EXPECT_EQ(cleaned(true), "safe");
}

/// R_SGJBL: a write through a stale writable-clean entry asks the tables; a read does not, nor a write through a dirty
/// one.
TEST(Dirty, AWriteThroughACleanStaleEntryAsksTheTables) {
  auto after_the_clear = [](const vmsa::Attributes& a, Right right) {
    const Task clear = [](ModelMachine& m) {
      m.xchg(W::slot(0), {});
      m.dsb(Dsb::ish);
      m.write_word(flag_word, 1, Order::release);
    };
    const Task user = [=](ModelMachine& m) {
      if (m.read_word(flag_word, Order::acquire) == 0) return;
      const machine::Access got = right == Right::write ? m.store(W::at(0), 5) : m.load(W::at(0));
      if (got.faulted == 0) m.warn("the old translation was used");
    };
    return verdict({clear, user}, {.attributes = a, .world = with_access_flag});
  };
  EXPECT_EQ(after_the_clear(clean, Right::write), "safe");
  EXPECT_EQ(after_the_clear(clean, Right::read), "warning none");
  EXPECT_EQ(after_the_clear(vmsa::page_kernel, Right::write), "warning none");
}

// ---- permissions ------------------------------------------------------------------------------------------------

TEST(Permissions, AreWhatTheLeafSays) {  // M2
  struct Case {
    const char* what;
    vmsa::Attributes leaf;
    Right right;
    bool user, permitted;
  };
  const Case cases[] = {
      {"read", vmsa::page_kernel, Right::read, false, true},
      {"write", vmsa::page_kernel, Right::write, false, true},
      {"execute", vmsa::page_kernel, Right::execute, false, false},
      {"write to read-only", read_only, Right::write, false, false},
      {"read of read-only", read_only, Right::read, false, true},
      {"write to clean", clean, Right::write, false, true},
      {"user read of a kernel page", vmsa::page_kernel, Right::read, true, false},
      {"user write of a kernel page", vmsa::page_kernel, Right::write, true, false},
      {"user read of a user page", {.user = true}, Right::read, true, true},
      {"user write of a user page", {.user = true}, Right::write, true, true},
      {"user write of a read-only one", {.user = true, .read_only = true}, Right::write, true, false},
      {"kernel text", {.privileged_execute_never = false}, Right::execute, false, true},
      {"kernel text for user code", {.privileged_execute_never = false}, Right::execute, true, false},
      {"user text", {.user = true, .user_execute_never = false}, Right::execute, true, true},
      {"user text for the kernel", {.user = true, .user_execute_never = false}, Right::execute, false, false},
  };
  for (const Case& c : cases) {
    const Task access = [=](ModelMachine& m) {
      machine::Access got;
      if (c.right == Right::execute)
        got = m.fetch(W::at(0), c.user);
      else if (c.right == Right::write)
        got = c.user ? m.store_user(W::at(0), 1) : m.store(W::at(0), 1);
      else
        got = c.user ? m.load_user(W::at(0)) : m.load(W::at(0));
      const bool as_expected = c.permitted ? got.faulted == 0 : got.fault == vmsa::Fault::permission;
      if (!as_expected || (got.faulted != 0 && got.level != vmsa::page_level)) m.warn("not as the leaf says");
    };
    EXPECT_EQ(verdict({access}, {.attributes = c.leaf}), "safe") << c.what;
  }
}

TEST(Permissions, AFaultNamesItsKindAndLevel) {
  auto fault = [](vmsa::Fault kind, vmsa::Level level, std::function<void(W&)> world) {
    return verdict({[=](ModelMachine& m) {
                     const machine::Access got = m.load(W::at(0));
                     if (got.fault != kind || got.level != level) m.warn("another fault");
                   }},
                   {.attributes = old_page, .world = std::move(world)});
  };
  using vmsa::Fault;
  EXPECT_EQ(fault(Fault::access_flag, vmsa::page_level, without_hardware), "safe");
  EXPECT_EQ(
      fault(Fault::translation, vmsa::page_level, [](W& w) { w.setup.world.memory.write(W::slot(0), {}); }),
      "safe");
  EXPECT_EQ(fault(Fault::translation, vmsa::pmd_level, [](W& w) { w.setup.world.memory.write(W::pmd, {}); }),
            "safe");
  EXPECT_EQ(fault(Fault::translation, vmsa::pud_level, [](W& w) { w.setup.world.memory.write(W::root, {}); }),
            "safe");
}

/// A page is made read-only and then copied, or a system call that promised so returns.
std::string write_protected(void (*flush_it)(ModelMachine&), Right nobody = Right::write,
                            const vmsa::Attributes& to = read_only) {
  return verdict({[=](ModelMachine& m) {
                    m.write_once(W::slot(0), W::leaf(0, to));
                    flush_it(m);
                    m.rely({}, 0, page_0, {nobody});
                  },
                  [](ModelMachine& m) { m.store(W::at(0), 5); }});
}

TEST(Permissions, ARestrictionIsReliedOnAfterItsFlush) {  // M1; O6: modify_range() of aarch64-paging
  EXPECT_EQ(write_protected([](ModelMachine& m) { m.dsb(Dsb::ish); }), "stale-permission no-tlbi");
  EXPECT_EQ(write_protected([](ModelMachine& m) { flush(m, tlbi_of(1)); }), "stale-permission coverage");
  EXPECT_EQ(write_protected([](ModelMachine& m) { flush(m, tlbi_of(0, local(vmsa::vaale1is))); }),
            "stale-permission scope");
  EXPECT_EQ(write_protected([](ModelMachine& m) { m.tlbi(tlbi_of(0)), complete(m); }),
            "stale-permission tlbi-before-clear");
  EXPECT_EQ(write_protected([](ModelMachine& m) { m.dsb(Dsb::ishst), m.tlbi(tlbi_of(0)); }),
            "stale-permission no-dsb");
  EXPECT_EQ(write_protected([](ModelMachine& m) { flush(m, tlbi_of(0)); }), "safe");
}

TEST(Permissions, WhatIsStillPermittedIsNotReliedOn) {
  EXPECT_EQ(write_protected([](ModelMachine& m) { m.dsb(Dsb::ish); }, Right::read), "safe")
      << "reading was never forbidden";
  EXPECT_EQ(write_protected([](ModelMachine& m) { m.dsb(Dsb::ish); }, Right::write, {}), "safe")
      << "nor is writing here";
}

TEST(Permissions, ExecutionIsRevokedByAFlushToo) {
  for (const bool flushed : {false, true}) {
    const Found f = search_tasks({[=](ModelMachine& m) {
                                    m.write_once(W::slot(0), W::leaf(0));
                                    if (flushed) flush(m, tlbi_of(0));
                                    m.rely({}, 0, page_0, {Right::execute});
                                  },
                                  bystander},
                                 {.attributes = {.privileged_execute_never = false}});
    EXPECT_EQ(verdict(f), flushed ? "safe" : "stale-permission no-tlbi");
  }
}

/// Rule 18: after a relaxation a write may still fault, once; who drops its own entry and tries again succeeds.
TEST(Permissions, ARelaxationNeedsNoBroadcast) {
  const Task relax = [](ModelMachine& m) {
    m.write_once(W::slot(0), W::leaf(0));
    publish(m);
    m.write_word(flag_word, 1, Order::release);
  };
  auto writer = [](bool drops_its_entry, bool warns) -> Task {
    return [=](ModelMachine& m) {
      m.await_word(flag_word, ~std::uint64_t{0}, 1);
      if (m.store(W::at(0), 5).faulted == 0) return;
      if (warns) m.warn("a spurious fault");
      if (drops_its_entry)
        m.dsb(Dsb::nshst), m.tlbi(tlbi_of(0, local(vmsa::vaale1is))), m.dsb(Dsb::nsh), m.isb();
      if (m.store(W::at(0), 5).faulted != 0) m.unexpected_fault(W::at(0));
    };
  };
  const Given given{.attributes = read_only};
  EXPECT_EQ(verdict({relax, writer(true, true)}, given), "warning none")
      << "a stale read-only entry is legal";
  EXPECT_EQ(search_tasks({relax, writer(false, false)}, given).harm(), shadow::Harm::unexpected_fault);
  EXPECT_EQ(verdict({relax, writer(true, false)}, given), "safe");
}

}  // namespace
}  // namespace shootdown::model
