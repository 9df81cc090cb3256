// SPDX-License-Identifier: MIT
// Strategy: as in judge_test.cpp, for what is judged when somebody relies on it: a page that is freed while it is
// mapped, a permission that was taken away. Each with the sequences that are no harm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/audit/machine.hpp"

namespace shootdown::audit::test {
namespace {

using testing::HasSubstr;

constexpr auto slot = [](std::uint64_t table, unsigned i = 0) { return table + 8 * i; };

// Outside of the linear map: there each free page is mapped.
struct MappedPage : Machine {
  static constexpr std::uint64_t vmalloc_slot = kernel_root + 8 * 256;  ///< the first of the upper half

  MappedPage() {
    put(0, EventKind::table, 2, ram + 0x6000);
    put(0, EventKind::table, 3, ram + 0x7000);
    put(0, EventKind::table, 4, ram + 0x8000);
    in("vmap");
    store(0, vmalloc_slot, table(ram + 0x6000));
    store(0, slot(ram + 0x6000), table(ram + 0x7000));
    store(0, slot(ram + 0x7000), table(ram + 0x8000));
    store(0, slot(ram + 0x8000), leaf(page, false));
  }
};

TEST(MappedPage, FreedAndNeverUnmapped) {
  MappedPage m;
  EXPECT_EQ(m.verdict(), "");
  m.in("free");
  m.free_page(0, Machine::page);
  EXPECT_TRUE(m.judge().result().violations.empty())
      << "a guest that was stopped may have been about to unmap it";
  EXPECT_EQ(m.verdict(), "stale-page freed-early free x1\n");
  EXPECT_THAT(m.judge().result().violations.at(0).splat,
              testing::IsSupersetOf({HasSubstr("is still mapped when the run ends"),
                                     HasSubstr("the tables still say so: it was not cleared")}));

  Machine linear;
  linear.in("map"), linear.store(0, slot(Machine::kernel_leaf_table), Machine::leaf(Machine::page, false));
  linear.in("free"), linear.free_page(0, Machine::page);
  EXPECT_EQ(linear.verdict(), "");
}

TEST(MappedPage, MayBeUnmappedAfterItIsFreed) {
  MappedPage unmapped;  // as free_initmem() does
  unmapped.in("free"), unmapped.free_page(0, Machine::page);
  unmapped.in("unmap"), unmapped.store(0, slot(Machine::ram + 0x8000), 0);
  EXPECT_EQ(unmapped.verdict(), "");

  MappedPage unlinked;
  unlinked.in("free"), unlinked.free_page(0, Machine::page);
  unlinked.in("unlink"), unlinked.store(0, MappedPage::vmalloc_slot, 0);
  EXPECT_EQ(unlinked.verdict(), "");
}

TEST(MappedPage, ThatBootHandedOverIsAnAlias) {
  MappedPage m;
  m.in("__free_pages_core"), m.free_page(0, Machine::page);
  m.in("free"), m.free_page(0, Machine::page);
  EXPECT_EQ(m.verdict(), "");
  m.in("vmap");
  m.store(0, slot(Machine::ram + 0x8000), 0);
  m.dsb_ishst(0), m.tlbi(0, {.op = vmsa::vmalle1is}), m.dsb_ish(0), m.isb(0);
  m.store(0, slot(Machine::ram + 0x8000), Machine::leaf(Machine::page, false));
  m.in("free"), m.free_page(0, Machine::page);
  EXPECT_EQ(m.verdict(), "stale-page freed-early free x1\n");
}

TEST(MappedPage, OfABlockIsFoundByAnyOfItsPages) {
  MappedPage m;
  const std::uint64_t block = Machine::ram + 0x200000;
  m.store(0, slot(Machine::ram + 0x7000, 1),
          vmsa::make_leaf(Machine::regime, vmsa::pmd_level, vmsa::PhysAddr(block), {}).bits);
  m.in("free"), m.free_page(0, block + 0x3000), m.free_page(0, block + 0x4000);
  EXPECT_EQ(m.verdict(), "stale-page freed-early free x1\n");
}

TEST(MappedPage, IsFoundInAnyRange) {
  for (std::uint64_t bytes : {std::uint64_t{1} << 30, std::uint64_t{1} << 51}) {
    MappedPage m;
    m.in("remove"), m.put(0, EventKind::release, static_cast<unsigned>(Release::range), Machine::page, bytes);
    EXPECT_THAT(m.verdict(), HasSubstr("stale-page freed-early remove x1")) << bytes;
  }
}

TEST(MappedPage, OfAProcessHarmsWhenItRunsOn) {
  Machine m;
  m.in("map"), m.store(0, slot(Machine::user_leaf_table), Machine::leaf(Machine::page, true));
  m.in("free"), m.free_page(0, Machine::page);
  EXPECT_EQ(m.verdict(), "") << "an ASID that never runs again";
  m.user(1);
  EXPECT_EQ(m.verdict(), "stale-page freed-early free x1\n");
}

/// A process whose thread makes a page read-only in a system call; what follows is left to the test.
struct Protected : Machine {
  static constexpr std::uint64_t thread = 0xffff000000001000;

  explicit Protected(std::uint64_t now = leaf(page, true) | vmsa::Descriptor::read_only_bit) {
    put(0, EventKind::task, 0, thread);
    in("fault");
    store(0, slot(user_leaf_table), leaf(page, true));
    in("mprotect");
    put(0, EventKind::enter, static_cast<unsigned>(Watched::mprotect));
    in("change_protection");
    store(0, slot(user_leaf_table), now);
  }
  vmsa::Tlbi flush() const { return {.op = vmsa::vale1is, .va = user_va(), .asid = asid}; }
  void return_to_user(unsigned cpu = 0) { put(cpu, EventKind::exception, 0); }
};

TEST(StalePermission, IsJudgedAtTheReturnOfMprotect) {
  Protected flushed;
  flushed.dsb_ishst(0), flushed.tlbi(0, flushed.flush()), flushed.dsb_ish(0);
  flushed.return_to_user();
  EXPECT_EQ(flushed.verdict(), "");

  Protected forgotten;
  EXPECT_EQ(forgotten.verdict(), "") << "not before it returns";
  forgotten.put(0, EventKind::exception, 1), forgotten.return_to_user();
  EXPECT_EQ(forgotten.verdict(), "") << "this is an interrupt's return";
  forgotten.return_to_user();
  EXPECT_EQ(forgotten.verdict(), "stale-permission no-tlbi change_protection x1\n");
  forgotten.return_to_user();
  EXPECT_EQ(forgotten.verdict(), "stale-permission no-tlbi change_protection x1\n");

  Protected not_complete;
  not_complete.dsb_ishst(0), not_complete.tlbi(0, not_complete.flush());
  not_complete.return_to_user();
  EXPECT_EQ(not_complete.verdict(), "stale-permission no-dsb change_protection x1\n");

  Protected local;
  local.dsb_ishst(0), local.tlbi(0, {.op = vmsa::vmalle1}), local.dsb_nsh(0), local.return_to_user();
  EXPECT_EQ(local.verdict(), "stale-permission scope change_protection x1\n");

  Protected elsewhere;  // the thread goes on on another CPU
  elsewhere.put(0, EventKind::task, 0, Protected::thread + 0x1000), elsewhere.return_to_user();
  EXPECT_EQ(elsewhere.verdict(), "");
  elsewhere.put(1, EventKind::task, 0, Protected::thread), elsewhere.return_to_user(1);
  EXPECT_EQ(elsewhere.verdict(), "stale-permission no-tlbi change_protection x1\n");
}

TEST(StalePermission, TheSplatHasBothSides) {
  Protected m;
  m.return_to_user();
  const auto result = m.judge().result();
  ASSERT_EQ(result.violations.size(), 1u);
  EXPECT_EQ(result.violations[0].title, "stale-permission in change_protection");
  EXPECT_THAT(
      result.violations[0].splat,
      testing::ElementsAre("BUG: Shootdown: stale-permission in change_protection+0x0/0x100",
                           "cause: no-tlbi (nothing covered the entry)",
                           HasSubstr("the change of permissions returned to its caller (event "),
                           "CPUs 0,1 may still hold level 3 leaf 0x0060000040100f43 for user address "
                           "0x0000000000000000 of ASID 0x5",
                           HasSubstr("changed it: 0x0060000040100f43 -> 0x0060000040100fc3 (event "),
                           " change_protection+0x0/0x100", "no TLBI that could concern it was issued since",
                           HasSubstr("did it:"), " mprotect+0x0/0x100"));
}

TEST(StalePermission, IsARestrictionOnly) {
  const std::uint64_t plain = Machine::leaf(Machine::page, true);
  for (const auto& [what, now, expected] : std::vector<std::tuple<const char*, std::uint64_t, std::string>>{
           {"no access", 0, "stale-permission no-tlbi change_protection x1\n"},
           {"kernel only", plain & ~vmsa::Descriptor::user_bit,
            "stale-permission no-tlbi change_protection x1\n"},
           {"writable but clean", plain | vmsa::Descriptor::read_only_bit | vmsa::Descriptor::dbm_bit, ""},
           {"executable", plain & ~vmsa::Descriptor::uxn_bit, ""},
           {"another software bit", plain | std::uint64_t{1} << 55, ""}}) {
    Protected m(now);
    m.return_to_user();
    EXPECT_EQ(m.verdict(), expected) << what;
  }
}

TEST(StalePermission, ACopyNeedsThatNobodyMayStillWrite) {
  struct Forked : Machine {
    explicit Forked(std::uint64_t old = leaf(page, true)) {
      in("fault");
      store(0, slot(user_leaf_table), old);
      in("fork");
      store(0, slot(user_leaf_table), leaf(page, true) | vmsa::Descriptor::read_only_bit);
    }
    void copy() { in("copy_page"), put(0, EventKind::copy, 0, page, 0x1000); }
  };
  Forked flushed;
  flushed.dsb_ishst(0), flushed.tlbi(0, {.op = vmsa::aside1is, .asid = Machine::asid}), flushed.dsb_ish(0);
  flushed.copy(), flushed.user(1);
  EXPECT_EQ(flushed.verdict(), "");

  Forked forgotten;
  forgotten.copy();
  EXPECT_EQ(forgotten.verdict(), "") << "a process that never runs again writes nothing";
  forgotten.user(1);
  EXPECT_EQ(forgotten.verdict(), "stale-permission no-tlbi fork x1\n");

  Forked before_the_flush;  // of a fork: nobody has relied on it yet
  before_the_flush.user(1);
  EXPECT_EQ(before_the_flush.verdict(), "");

  Forked clean(Machine::leaf(Machine::page, true) | vmsa::Descriptor::read_only_bit |
               vmsa::Descriptor::dbm_bit);
  clean.copy(), clean.user(1);
  EXPECT_EQ(clean.verdict(), "") << "whoever writes asks the tables again";
}

/// TCR_EL1 with HA, or with HA and HD: hardware sets flags, and no event tells.
constexpr std::uint64_t tcr_ha = Machine::tcr | std::uint64_t{1} << 39;
constexpr std::uint64_t tcr_hd = tcr_ha | std::uint64_t{1} << 40;

TEST(HardwareFlags, AClearAccessFlagMayHaveBeenSet) {
  for (const bool managed : {false, true}) {
    Machine m;
    if (managed) m.put(1, EventKind::tcr, 0, tcr_ha);
    m.in("map");
    m.store(0, slot(Machine::kernel_leaf_table),
            Machine::leaf(Machine::page, false) & ~vmsa::Descriptor::accessed_bit);
    m.in("unmap"), m.store(0, slot(Machine::kernel_leaf_table), 0);
    m.in("free"), m.free_page(0, Machine::page);
    EXPECT_EQ(m.verdict(), managed ? "stale-page no-tlbi unmap x1\n" : "");
    if (!managed) continue;
    EXPECT_THAT(m.judge().result().violations.at(0).splat,
                testing::Contains(HasSubstr("CPUs 1 may still hold")));
  }
}

TEST(HardwareFlags, AnUnlinkedTablesLeavesToo) {
  Machine m;
  m.put(0, EventKind::tcr, 0, tcr_ha);
  m.in("map");
  m.store(0, slot(Machine::kernel_leaf_table),
          Machine::leaf(Machine::page, false) & ~vmsa::Descriptor::accessed_bit);
  m.in("unlink"), m.store(0, slot(Machine::kernel_root + 0x2000), 0);
  m.in("free"), m.free_page(0, Machine::page);
  EXPECT_EQ(m.verdict(), "stale-page no-tlbi unlink x1\n");
}

TEST(HardwareFlags, AWritableCleanPageMayHaveBeenWritten) {
  for (const std::uint64_t tcr : {Machine::tcr, tcr_ha, tcr_hd}) {
    Machine m;
    m.put(1, EventKind::tcr, 0, tcr);
    const std::uint64_t clean =
        Machine::leaf(Machine::page, true) | vmsa::Descriptor::read_only_bit | vmsa::Descriptor::dbm_bit;
    m.in("fault"), m.store(0, slot(Machine::user_leaf_table), clean);
    m.in("fork"), m.store(0, slot(Machine::user_leaf_table), clean & ~vmsa::Descriptor::dbm_bit);
    m.in("copy_page"), m.put(0, EventKind::copy, 0, Machine::page, 0x1000), m.user(1);
    EXPECT_EQ(m.verdict(), tcr == tcr_hd ? "stale-permission no-tlbi fork x1\n" : "");
  }
}

}  // namespace
}  // namespace shootdown::audit::test
