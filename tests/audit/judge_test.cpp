// SPDX-License-Identifier: MIT
// Strategy: for every rule the shortest sequence of events that keeps it and, beside it, sequences that break it
// in one place each: the verdict is exactly that harm, with that cause, in that function.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "audit/guest/protocol.hpp"
#include "tests/audit/machine.hpp"

namespace shootdown::audit::test {
namespace {

using testing::HasSubstr;

constexpr auto slot = [](std::uint64_t table, unsigned i = 0) { return table + 8 * i; };

/// Maps and unmaps one kernel page with the operations in between left to the test.
struct KernelPage : Machine {
  KernelPage() {
    in("map");
    store(0, slot(kernel_leaf_table), leaf(page, false));
    in("unmap");
    store(0, slot(kernel_leaf_table), 0);
  }
  void release() {
    in("free");
    free_page(0, page);
  }
  vmsa::Tlbi flush() const { return {.op = vmsa::vaale1is, .va = kernel_va()}; }
};

TEST(KernelPage, FlushedBeforeTheReleaseIsSafe) {
  KernelPage m;
  m.dsb_ishst(0), m.tlbi(0, m.flush()), m.dsb_ish(0), m.isb(0);
  m.release();
  EXPECT_EQ(m.verdict(), "");
}

TEST(KernelPage, EachMissingStepIsNamed) {
  KernelPage no_tlbi;
  no_tlbi.dsb_ishst(0), no_tlbi.dsb_ish(0), no_tlbi.isb(0), no_tlbi.release();
  EXPECT_EQ(no_tlbi.verdict(), "stale-page no-tlbi unmap x1\n");

  KernelPage no_store_barrier;
  no_store_barrier.tlbi(0, no_store_barrier.flush()), no_store_barrier.dsb_ish(0), no_store_barrier.isb(0),
      no_store_barrier.release();
  EXPECT_EQ(no_store_barrier.verdict(), "stale-page tlbi-before-clear unmap x1\n");

  KernelPage no_dsb;
  no_dsb.dsb_ishst(0), no_dsb.tlbi(0, no_dsb.flush()), no_dsb.isb(0), no_dsb.release();
  EXPECT_EQ(no_dsb.verdict(), "stale-page no-dsb unmap x1\n");

  KernelPage narrow_dsb;
  narrow_dsb.dsb_ishst(0), narrow_dsb.tlbi(0, narrow_dsb.flush()), narrow_dsb.dsb_nsh(0), narrow_dsb.isb(0),
      narrow_dsb.release();
  EXPECT_EQ(narrow_dsb.verdict(), "stale-page no-dsb unmap x1\n");

  KernelPage other_cpu;
  other_cpu.dsb_ishst(0), other_cpu.tlbi(0, other_cpu.flush()), other_cpu.dsb_ish(1), other_cpu.isb(0),
      other_cpu.release();
  EXPECT_EQ(other_cpu.verdict(), "stale-page no-dsb unmap x1\n");

  KernelPage no_isb;
  no_isb.dsb_ishst(0), no_isb.tlbi(0, no_isb.flush()), no_isb.dsb_ish(0), no_isb.release();
  EXPECT_EQ(no_isb.verdict(), "stale-page no-isb unmap x1\n");

  KernelPage local;
  local.dsb_ishst(0), local.tlbi(0, {.op = vmsa::vmalle1}), local.dsb_ish(0), local.isb(0), local.release();
  EXPECT_EQ(local.verdict(), "stale-page scope unmap x1\n");

  KernelPage wrong_hint;
  wrong_hint.dsb_ishst(0),
      wrong_hint.tlbi(0, {.op = vmsa::vaale1is, .va = Machine::kernel_va(), .ttl = vmsa::pmd_level});
  wrong_hint.dsb_ish(0), wrong_hint.isb(0), wrong_hint.release();
  EXPECT_EQ(wrong_hint.verdict(), "stale-page coverage unmap x1\n");

  KernelPage wrong_address;
  wrong_address.dsb_ishst(0), wrong_address.tlbi(0, {.op = vmsa::vaale1is, .va = Machine::kernel_va(1)});
  wrong_address.dsb_ish(0), wrong_address.isb(0), wrong_address.release();
  EXPECT_EQ(wrong_address.verdict(), "stale-page coverage unmap x1\n");
}

// Whoever else flushes is told nothing by a barrier of this CPU's own domain: the store may still be on its way.
TEST(KernelPage, TheStoreBarrierIsAsWideAsTheTlbi) {
  const std::string missed = "stale-page tlbi-before-clear unmap x1\n";
  for (const auto& [what, crm, broadcast, local] :
       std::vector<std::tuple<const char*, unsigned, bool, bool>>{{"NSHST", 6, false, true},
                                                                  {"NSH", 7, false, true},
                                                                  {"ISHST", 10, true, true},
                                                                  {"ISH", 11, true, true},
                                                                  {"OSHST", 2, true, true},
                                                                  {"ST", 14, true, true},
                                                                  {"SY", 15, true, true},
                                                                  {"ISHLD", 9, false, false},
                                                                  {"LD", 13, false, false}}) {
    KernelPage wide;
    wide.dsb(0, crm), wide.tlbi(0, wide.flush()), wide.dsb_ish(0), wide.isb(0), wide.release();
    EXPECT_EQ(wide.verdict(), broadcast ? "" : missed) << what;

    KernelPage narrow;  // each CPU for itself
    narrow.dsb(0, crm), narrow.tlbi(0, {.op = vmsa::vmalle1}), narrow.dsb_nsh(0), narrow.isb(0);
    narrow.tlbi(1, {.op = vmsa::vmalle1}), narrow.dsb_nsh(1), narrow.isb(1);
    narrow.release();
    EXPECT_EQ(narrow.verdict(), local ? "" : "stale-page scope unmap x1\n") << what << ": CPU 0 keeps it";
  }
}

TEST(Stacks, ADamagedNumberIsNoStackAndTakesNoMemory) {
  Stacks stacks([](std::uint64_t) { return "f+0x0/0x10"; });
  stacks.add_frame(1, 0, 0x10);
  EXPECT_THAT(stacks.functions(1), testing::ElementsAre("f"));
  constexpr std::uint32_t damaged = 0xffff'fffe;
  stacks.add_frame(damaged, 0, 0x10);
  EXPECT_TRUE(stacks.functions(damaged).empty());
  EXPECT_TRUE(stacks.places(damaged).empty());
}

TEST(KernelPage, TheSplatHasBothSides) {
  KernelPage m;
  m.release();
  const auto result = m.judge().result();
  ASSERT_EQ(result.violations.size(), 1u);
  std::string text;
  for (const std::string& line : result.violations[0].splat) text += line + "\n";
  EXPECT_EQ(result.violations[0].title, "stale-page in unmap");
  EXPECT_THAT(text, HasSubstr("BUG: Shootdown: stale-page in unmap+0x0/0x100"));
  EXPECT_THAT(text, HasSubstr("CPUs 0,1 may still hold level 3 leaf"));
  EXPECT_THAT(text, HasSubstr("free+0x0/0x100"));
}

TEST(KernelPage, TheSplatNamesTheTlbiThatDidNotHelp) {
  KernelPage none, wrong;
  none.release();
  EXPECT_THAT(none.judge().result().violations.at(0).splat,
              testing::Contains(HasSubstr("no TLBI that could")));
  wrong.in("flush");
  wrong.dsb_ishst(0), wrong.tlbi(0, {.op = vmsa::vmalle1}), wrong.dsb_ish(0), wrong.isb(0);
  wrong.release();
  EXPECT_THAT(wrong.judge().result().violations.at(0).splat,
              testing::Contains(HasSubstr("VMALLE1 by CPU 0 in flush")));
}

TEST(KernelPage, TheSplatNamesTheThreadsOfBothSides) {
  const auto name = [](Machine& m, std::uint64_t task, std::uint64_t pid, std::string_view text) {
    std::uint64_t halves[2]{};
    std::memcpy(halves, text.data(), text.size());
    m.put(0, EventKind::thread, 0, task, pid);
    m.put(0, EventKind::thread, 1, task, halves[0]), m.put(0, EventKind::thread, 2, task, halves[1]);
    m.put(0, EventKind::task, 0, task);
  };
  constexpr std::uint64_t task = 0xffff000000001000;
  Machine m;
  m.in("map"), m.store(0, slot(Machine::kernel_leaf_table), Machine::leaf(Machine::page, false));
  name(m, task, 57, "kworker/0:1-\n");
  m.in("unmap"), m.store(0, slot(Machine::kernel_leaf_table), 0);
  name(m, task, 58, "init");  // whose task_struct was the other's
  m.in("free"), m.free_page(0, Machine::page);
  EXPECT_THAT(m.judge().result().violations.at(0).splat,
              testing::IsSupersetOf({HasSubstr("CPU 0 PID 57 (kworker/0:1-?) changed it: "),
                                     HasSubstr("CPU 0 PID 58 (init) did it:")}));

  KernelPage unknown;
  unknown.release();
  EXPECT_THAT(unknown.judge().result().violations.at(0).splat,
              testing::Contains(HasSubstr("CPU 0 PID unknown changed it: ")));
}

// An interrupt between the TLBI and where its DSB is missing brings barriers of its own: chance, no merit.
TEST(KernelPage, ABarrierOfAnInterruptIsNotTheInterruptedCodes) {
  auto interrupt = [](KernelPage& m) {
    m.put(0, EventKind::exception, 1);
    m.dsb_ish(0), m.isb(0);
    m.put(0, EventKind::exception, 0);
  };
  KernelPage no_dsb;
  no_dsb.dsb_ishst(0), no_dsb.tlbi(0, no_dsb.flush()), interrupt(no_dsb), no_dsb.isb(0);
  no_dsb.release();
  EXPECT_EQ(no_dsb.verdict(), "stale-page no-dsb unmap x1\n");

  KernelPage no_store_barrier;
  interrupt(no_store_barrier), no_store_barrier.tlbi(0, no_store_barrier.flush()),
      no_store_barrier.dsb_ish(0), no_store_barrier.isb(0), no_store_barrier.release();
  EXPECT_EQ(no_store_barrier.verdict(), "stale-page tlbi-before-clear unmap x1\n");

  KernelPage handler_flushes;  // it may rely on its own barriers, whoever made the store
  handler_flushes.put(0, EventKind::exception, 1);
  handler_flushes.dsb_ishst(0), handler_flushes.tlbi(0, handler_flushes.flush()), handler_flushes.dsb_ish(0),
      handler_flushes.isb(0), handler_flushes.release();
  EXPECT_EQ(handler_flushes.verdict(), "");

  // A thread that is switched away in the interrupt may finish on another CPU: the switch has its barrier for that.
  KernelPage moved;
  moved.put(0, EventKind::task, 0, 0xffff000000001000);
  moved.dsb_ishst(0), moved.tlbi(0, moved.flush());
  moved.put(0, EventKind::exception, 1);
  moved.dsb_ish(0), moved.isb(0);
  moved.put(0, EventKind::task, 0, 0xffff000000002000);
  moved.isb(0), moved.dsb_ish(1), moved.isb(1);
  moved.release();
  EXPECT_EQ(moved.verdict(), "");
}

TEST(KernelPage, LazyUnmappingIsJudgedAtTheNextUseOfTheAddress) {
  Machine m;
  m.in("map");
  m.store(0, slot(Machine::kernel_leaf_table), Machine::leaf(Machine::page, false));
  m.in("vunmap_range_noflush");
  m.store(0, slot(Machine::kernel_leaf_table), 0);
  m.in("vfree");
  m.free_page(0, Machine::page);
  EXPECT_EQ(m.verdict(), "");
  m.in("map");
  m.store(0, slot(Machine::kernel_leaf_table), Machine::leaf(Machine::page + 0x1000, false));
  EXPECT_EQ(m.verdict(), "break-before-make no-tlbi map x1\n");
}

TEST(KernelPage, AnEagerUnmapOwesItsFlushAtOnce) {
  for (const auto& [callers, expected] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"__vunmap_range_noflush", "remove_vm_area"}, ""},
           {{"__vunmap_range_noflush", "vunmap_range_noflush", "free_unmap_vmap_area"}, ""},
           {{"__vunmap_range_noflush", "vunmap_range"}, "stale-page no-tlbi __vunmap_range_noflush x1\n"},
           {{"vunmap_range_noflush", "vunmap_range"}, "stale-page no-tlbi vunmap_range_noflush x1\n"}}) {
    Machine m;
    m.in("map"), m.store(0, slot(Machine::kernel_leaf_table), Machine::leaf(Machine::page, false));
    m.in(callers), m.store(0, slot(Machine::kernel_leaf_table), 0);
    m.in("free"), m.free_page(0, Machine::page);
    EXPECT_EQ(m.verdict(), expected) << callers[1];
  }
}

TEST(KernelTable, NeedsMoreThanALeafFlush) {
  for (const auto& [op, expected] :
       std::map<vmsa::TlbiOp, std::string>{{vmsa::vaae1is, ""},
                                           {vmsa::vmalle1is, ""},
                                           {vmsa::vaale1is, "stale-table last-level unlink x1\n"},
                                           {vmsa::vae1is, "stale-table asid unlink x1\n"}}) {
    Machine m;
    m.in("unlink");
    m.store(0, slot(Machine::kernel_root + 0x2000), 0);
    m.dsb_ishst(0), m.tlbi(0, {.op = op, .va = Machine::kernel_va(), .asid = Machine::asid}), m.dsb_ish(0),
        m.isb(0);
    m.in("free");
    m.free_page(0, Machine::kernel_leaf_table);
    EXPECT_EQ(m.verdict(), expected) << vmsa::tlbi_name(op).c_str();
  }
}

TEST(KernelTable, FreedWhileItIsLinkedNeedsNoStaleEntry) {
  Machine m;
  m.in("free");
  m.free_page(0, Machine::kernel_leaf_table);
  EXPECT_EQ(m.verdict(), "stale-table freed-early free x1\n");
  EXPECT_THAT(m.judge().result().violations.at(0).splat, testing::Contains(HasSubstr("it was not cleared")));

  // Below a table that is unlinked itself it is reached by nobody who starts a walk now.
  Machine below;
  below.in("unlink");
  below.store(0, slot(Machine::kernel_root), 0);
  below.dsb_ishst(0), below.tlbi(0, {.op = vmsa::vmalle1is}), below.dsb_ish(0), below.isb(0);
  below.in("free");
  below.free_page(0, Machine::kernel_leaf_table);
  EXPECT_EQ(below.verdict(), "");
}

TEST(KernelTable, WordsStoredIntoAnUnlinkedTableMayBeTranslations) {
  Machine m;
  m.in("unlink");
  m.store(0, slot(Machine::kernel_root + 0x2000), 0);
  m.in("scribble");
  m.store(0, slot(Machine::kernel_leaf_table), Machine::leaf(Machine::page, false));
  m.in("free");
  m.free_page(0, Machine::page);
  EXPECT_EQ(m.verdict(), "stale-page no-tlbi scribble x1\n");
}

TEST(Contiguous, AMemberThatIsStillValidRefills) {
  Machine m;
  m.in("map");
  for (unsigned i = 0; i < 16; ++i)
    m.store(0, slot(Machine::kernel_leaf_table, i), Machine::leaf(Machine::page + 0x1000 * i, false, true));
  m.in("unmap");
  for (unsigned i = 0; i < 16; ++i) {
    m.store(0, slot(Machine::kernel_leaf_table, i), 0);
    m.dsb_ishst(0), m.tlbi(0, {.op = vmsa::vaale1is, .va = Machine::kernel_va(i)}), m.dsb_ish(0), m.isb(0);
  }
  m.in("free");
  m.free_page(0, Machine::page);
  EXPECT_EQ(m.verdict(), "stale-page contiguous unmap x1\n");
}

struct UserPage : Machine {
  UserPage() {
    in("map");
    store(0, slot(user_leaf_table), leaf(page, true));
    in("unmap");
    store(0, slot(user_leaf_table), 0);
  }
};

TEST(UserPage, IsHarmedOnlyWhenItsProcessRunsAgain) {
  UserPage exited;
  exited.in("free");
  exited.free_page(0, Machine::page);
  EXPECT_EQ(exited.verdict(), "") << "an ASID that never runs again";

  exited.user(1);
  EXPECT_EQ(exited.verdict(), "stale-page no-tlbi unmap x1\n");

  UserPage late;  // another CPU could have run it in the meantime
  late.in("flush");
  late.dsb_ishst(0), late.tlbi(0, {.op = vmsa::vae1is, .va = Machine::user_va(), .asid = Machine::asid});
  late.in("free");
  late.free_page(0, Machine::page);
  late.dsb_ish(0);
  late.user(1);
  EXPECT_EQ(late.verdict(), "stale-page no-dsb unmap x1\n");

  UserPage gone;  // the ASID is another's now
  gone.in("exit");
  gone.free_page(0, Machine::page);
  gone.free_page(0, Machine::user_root);
  gone.user(1);
  EXPECT_EQ(gone.verdict(), "");
}

TEST(UserPage, NeedsNoIsbAndItsOwnAsid) {
  UserPage m;
  m.dsb_ishst(0), m.tlbi(0, {.op = vmsa::vale1is, .va = Machine::user_va(), .asid = Machine::asid}),
      m.dsb_ish(0);
  m.in("free");
  m.free_page(0, Machine::page), m.user(0), m.user(1);
  EXPECT_EQ(m.verdict(), "");

  for (const unsigned cpu : {0u, 1u}) {
    UserPage wrong;
    wrong.dsb_ishst(cpu), wrong.tlbi(cpu, {.op = vmsa::vale1is, .va = Machine::user_va(), .asid = 6});
    wrong.dsb_ish(cpu);
    wrong.in("free");
    wrong.free_page(0, Machine::page), wrong.user(0);
    EXPECT_EQ(wrong.verdict(), cpu == 0 ? "stale-page asid unmap x1\n" : "stale-page no-tlbi unmap x1\n")
        << "another thread's flush of its process is no attempt at this one";
  }
}

TEST(UserPage, AnAddressSpaceThatRanNowhereIsHeldByNobody) {
  Machine m;
  constexpr std::uint64_t other_root = Machine::ram + 0x21000;
  m.put(0, EventKind::table, 1, other_root, 1);
  m.in("prepare");
  m.store(0, other_root, Machine::table(Machine::ram + 0x22000));
  m.store(0, other_root, 0);
  m.in("free");
  m.free_page(0, Machine::ram + 0x22000);
  EXPECT_EQ(m.verdict(), "");
}

TEST(Teardown, CountsItsOwnThreadAlone) {
  constexpr std::uint64_t remover = 0xffff000000001000;
  Machine m;
  m.in("remove");
  m.put(0, EventKind::mark, 0, static_cast<std::uint64_t>(protocol::Mark::window_begin), 100);
  m.put(0, EventKind::task, 0, remover);
  m.put(0, EventKind::enter, 0, Machine::page);
  m.dsb_ish(0), m.dsb_ish(1);
  m.put(0, EventKind::exception, 1), m.dsb_ish(0), m.put(0, EventKind::exception, 0);
  m.put(0, EventKind::task, 0, remover + 0x1000), m.dsb_ish(0);
  m.put(1, EventKind::task, 0, remover), m.dsb_ish(1);
  m.put(1, EventKind::leave, 0, Machine::page, 42);
  m.dsb_ish(1);
  m.put(0, EventKind::mark, 0, static_cast<std::uint64_t>(protocol::Mark::window_end), 200);
  const AuditResult r = m.judge().result();
  EXPECT_EQ(r.teardown.counts.dsb[static_cast<std::size_t>(machine::Dsb::ish)], 2u);
  EXPECT_EQ(r.window.counts.dsb[static_cast<std::size_t>(machine::Dsb::ish)], 6u);
  EXPECT_EQ(r.teardown.counts.instructions, 42u);
  EXPECT_EQ(r.window.counts.instructions, 100u);
}

}  // namespace
}  // namespace shootdown::audit::test
