// SPDX-License-Identifier: MIT
// Bugs of memory hot-remove, seeded again in the real procedures: by a strategy that has them or by weakening one
// operation. Each must be found under its harm and cause; its fixed counterpart is explored to the end.
#include <gtest/gtest.h>

#include "scenario/campaign.hpp"

namespace shootdown::scenario {
namespace {

using model::Weakening;
using shadow::Harm;

mm::Strategy strategy(std::string_view name) {
  for (const mm::Strategy& s : mm::strategies)
    if (s.name == name) return s;
  throw std::logic_error("no such strategy");
}

HotRemoveConfig linear(std::string_view name, unsigned mapping = 0) {
  HotRemoveConfig c;
  c.strategy = strategy(name);
  c.mapping = mm::mappings[mapping];
  return c;
}
HotRemoveConfig vmemmap(std::string_view name, VmemmapKind kind) {
  HotRemoveConfig c;
  c.strategy = strategy(name);
  c.path = Path::vmemmap;
  c.vmemmap = kind;
  return c;
}

CheckResult run(const HotRemoveConfig& c) {
  explore::SearchOptions options;
  options.bounds.states = 20'000'000;
  return check(c, options);
}
/// "harm cause", or "safe", or "bound".
std::string verdict(const CheckResult& r) {
  if (!r.counterexample) return name(r.verdict);
  return std::string(name(r.counterexample->violation.finding.harm)) + " " + name(r.counterexample->cause);
}
std::string verdict(const HotRemoveConfig& c) { return verdict(run(c)); }

/// The mutant of `c` that weakens the first operation of its kind inside `function`.
HotRemoveConfig mutant(HotRemoveConfig c, model::Kind kind, std::string_view function, Weakening w,
                       unsigned skip = 0) {
  for (const model::Mutation& m : mutants(c)) {
    const bool inside = std::any_of(m.site.functions.begin(), m.site.functions.end(),
                                    [&](const char* f) { return f == function; });
    if (m.kind != kind || m.weakening != w || !inside || skip-- > 0) continue;
    c.mutation = m;
    return c;
  }
  ADD_FAILURE() << "no mutant " << name(w) << " in " << function;
  return c;
}

// ---- 48478b9f7913: member by member inside a contiguous block -----------------------------------------------

TEST(Negative, Bug48478b9f7913_MemberByMemberInsideAContiguousBlock) {
  EXPECT_EQ(verdict(linear("P", 1)), "stale-page contiguous");
  EXPECT_EQ(verdict(linear("P", 3)), "stale-page contiguous");
  EXPECT_EQ(verdict(linear("B", 1)), "safe");
  EXPECT_EQ(verdict(linear("B", 3)), "safe");
  EXPECT_EQ(verdict(linear("P", 0)), "safe") << "single pages: why it went unnoticed";
}

// ---- 285994a62c80: table page freed before any walk-cache invalidation -----------------------------------------

TEST(Negative, Bug285994a62c80_TableFreedBeforeItsFlush) {
  const CheckResult bug = run(linear("freed-before-flush"));
  EXPECT_EQ(verdict(bug), "stale-table freed-early");
  ASSERT_TRUE(bug.counterexample);
  ASSERT_FALSE(bug.counterexample->consequence.empty());
  const model::Event& last = bug.counterexample->consequence.back().events.back();
  EXPECT_EQ(last.kind, model::Event::Kind::hardware_access_flag) << "a flag in a page that has a new owner";
  ASSERT_EQ(last.stores.size(), 1u);
  EXPECT_FALSE(last.stores[0].before.accessed());
  EXPECT_TRUE(last.stores[0].after.accessed());
  EXPECT_EQ(verdict(linear("B")), "safe");
}

TEST(Negative, Bug285994a62c80_NoWalkCacheInvalidationAtAll) {
  const auto dropped =
      mutant(linear("B"), model::kind_of<model::op::Tlbi>, "flush_tlb_kernel_pgtable", Weakening::drop);
  EXPECT_EQ(verdict(dropped), "stale-table no-tlbi");
  const auto leaves = mutant(linear("B"), model::kind_of<model::op::Tlbi>, "flush_tlb_kernel_pgtable",
                             Weakening::tlbi_last_level);
  EXPECT_EQ(verdict(leaves), "stale-table last-level");
  const auto asid =
      mutant(linear("B"), model::kind_of<model::op::Tlbi>, "flush_tlb_kernel_pgtable", Weakening::tlbi_asid);
  EXPECT_EQ(verdict(asid), "stale-table asid");
}

// ---- 51696d346c49: ISB missing after a walk-cache invalidation ----------------------------------------------

TEST(Negative, Bug51696d346c49_IsbMissingAfterWalkCacheInvalidation) {
  EXPECT_EQ(verdict(mutant(linear("B"), model::kind_of<model::op::Isb>, "flush_tlb_kernel_pgtable",
                           Weakening::drop)),
            "stale-table no-isb");
}

TEST(Negative, BarriersAroundTheWalkCacheInvalidation) {
  auto barrier = [](Weakening w, unsigned which) {
    return verdict(mutant(linear("B"), model::kind_of<model::op::Dsb>, "flush_tlb_kernel_pgtable", w, which));
  };
  EXPECT_EQ(barrier(Weakening::drop, 0), "stale-table tlbi-before-clear");
  EXPECT_EQ(barrier(Weakening::dsb_non_shareable, 0), "stale-table tlbi-before-clear");
  EXPECT_EQ(barrier(Weakening::drop, 1), "stale-table no-dsb");
  EXPECT_EQ(barrier(Weakening::dsb_store_only, 0), "stale-table no-dsb");
}

// ---- the leaf flush: e3ba51ab24fd, eed6bfa8b282, 61c11656b67b ---------------------------------------------------

TEST(Negative, Buge3ba51ab24fd_RangeOnePageShort) {
  EXPECT_EQ(verdict(mutant(linear("B"), model::kind_of<model::op::Tlbi>, "flush_tlb_kernel_range",
                           Weakening::tlbi_one_page_short)),
            "stale-page coverage");
}

TEST(Negative, Bugeed6bfa8b282_WrongLevelHint) {
  EXPECT_EQ(verdict(mutant(linear("B"), model::kind_of<model::op::Tlbi>, "flush_tlb_kernel_range",
                           Weakening::tlbi_hint_block)),
            "stale-page coverage");
}

TEST(Negative, Bug61c11656b67b_PageHintForABlock) {
  const auto blocks = linear("B", 2);
  EXPECT_EQ(verdict(mutant(blocks, model::kind_of<model::op::Tlbi>, "flush_tlb_kernel_range",
                           Weakening::tlbi_hint_page)),
            "stale-page coverage");
  EXPECT_EQ(verdict(blocks), "safe");
}

TEST(Negative, TheLeafFlushDroppedOrLocal) {
  EXPECT_EQ(verdict(mutant(linear("B"), model::kind_of<model::op::Tlbi>, "flush_tlb_kernel_range",
                           Weakening::drop)),
            "stale-page no-tlbi");
  EXPECT_EQ(verdict(mutant(linear("B"), model::kind_of<model::op::Tlbi>, "flush_tlb_kernel_range",
                           Weakening::tlbi_local)),
            "stale-page scope");
}

// ---- a new table's words ----------------------------------------------------------------------------------------

TEST(Negative, ANewTableWhoseLastWordsAreStillThere) {
  HotRemoveConfig add = linear("B");
  add.experiment = Experiment::hot_add;
  EXPECT_EQ(verdict(mutant(add, model::kind_of<model::op::ClearPage>, "alloc_table", Weakening::drop)),
            "stale-table none")
      << "no TLBI, barrier or grace period was missing";
  EXPECT_EQ(verdict(mutant(add, model::kind_of<model::op::Dsb>, "alloc_table", Weakening::drop)),
            "stale-table no-dsb")
      << "the zeros may become visible after the link";
}

// ---- the campaign's reasons -------------------------------------------------------------------------------------

TEST(Negative, AFlushWithoutWorkIsIdleThereAndRefutedElsewhere) {
  // L gathers vmemmap pages before their flush; where only the linear map is looked at there are none.
  HotRemoveConfig there = linear("L"), elsewhere = vmemmap("L", VmemmapKind::pages);
  unsigned idle = 0, refuted = 0;
  for (const model::Mutation& m : mutants(there)) {
    if (m.weakening != Weakening::drop) continue;
    const MutantResult r = try_mutant(there, m, {});
    EXPECT_NE(r.fate, Fate::survived) << m.describe();
    EXPECT_EQ(r.redundant(), !r.reason.empty()) << m.describe();
    if (r.fate != Fate::idle) continue;
    ++idle;
    refuted += try_mutant(elsewhere, m, {}).fate == Fate::refuted ? 1 : 0;
  }
  EXPECT_GT(idle, 0u);
  EXPECT_GT(refuted, 0u);
}

// ---- the RFC --------------------------------------------------------------------------------------------------

TEST(Negative, TheRfcAsPostedFlushesAnEmptyRange) {
  EXPECT_EQ(verdict(linear("R0")), "stale-page no-tlbi");
  EXPECT_EQ(verdict(vmemmap("R0", VmemmapKind::pages)), "stale-page no-tlbi");
  EXPECT_EQ(verdict(linear("R0", 2)), "safe") << "blocks are flushed one by one";
  EXPECT_EQ(verdict(linear("R")), "safe");
}

TEST(Negative, TheRfcAsIntendedFreesVmemmapPagesBeforeTheirFlush) {
  EXPECT_EQ(verdict(vmemmap("R", VmemmapKind::pages)), "stale-page freed-early");
  EXPECT_EQ(verdict(vmemmap("R", VmemmapKind::block)), "safe");
}

// ---- T ----------------------------------------------------------------------------------------------------------

TEST(Negative, TsFlushMustReachTablesOfEveryContextAndLevel) {
  const auto t = linear("T");
  constexpr const char* flush = "flush_tlb_kernel_ranges_and_tables";
  EXPECT_EQ(verdict(mutant(t, model::kind_of<model::op::Tlbi>, flush, Weakening::tlbi_last_level)),
            "stale-table last-level");
  EXPECT_EQ(verdict(mutant(t, model::kind_of<model::op::Tlbi>, flush, Weakening::tlbi_asid)),
            "stale-table asid");
  const auto hint = run(mutant(t, model::kind_of<model::op::Tlbi>, flush, Weakening::tlbi_hint_page));
  EXPECT_EQ(verdict(hint), "stale-table coverage");
  const auto list = run(
      mutant(t, model::kind_of<model::op::DeferFree>, "free_hotplug_table", Weakening::list_through_page));
  EXPECT_EQ(list.verdict, Verdict::unsafe);
}

// ---- walkers, memblock ----------------------------------------------------------------------------------------

TEST(Negative, ADumperWithoutTheHotplugLock) {
  HotRemoveConfig c = linear("B");
  c.dumper_takes_lock = false;
  EXPECT_EQ(verdict(c), "walker-table no-grace-period");
  EXPECT_EQ(verdict(linear("B")), "safe");
}

/// Either it walks the table that is gone, or it links another in its place while walks still use the old one:
/// whichever takes fewer steps.
bool is_shared_table_lost(const CheckResult& r) {
  if (!r.counterexample) return false;
  const Harm harm = r.counterexample->violation.finding.harm;
  return harm == Harm::walker_table || harm == Harm::break_before_make;
}

TEST(Negative, TablesSharedWithVmallocFreedUnderIt) {
  HotRemoveConfig c = vmemmap("B", VmemmapKind::pages);
  c.real = vmsa::regime(16, 52);
  c.table_rule = mm::TableRule::any;
  const CheckResult bug = run(c);
  EXPECT_TRUE(is_shared_table_lost(bug)) << verdict(bug);
}

TEST(Negative, MemblockRemovedFirst) {
  HotRemoveConfig c = vmemmap("P", VmemmapKind::block);
  c.memblock_last = false;
  EXPECT_EQ(verdict(c), "leak none");
  c.memblock_last = true;
  EXPECT_EQ(verdict(c), "safe");
}

// ---- which tables may go, for every regime ----------------------------------------------------------------------

/// Two CPUs: the remover, and one that uses vmalloc, dumps and reuses in turn.
HotRemoveConfig beside_vmalloc(const vmsa::Regime& real, vmsa::LayoutAge layout, mm::TableRule rule) {
  HotRemoveConfig c = vmemmap("B", real.vmemmap_uses_blocks() ? VmemmapKind::block : VmemmapKind::pages);
  c.real = real;
  c.layout = layout;
  c.table_rule = rule;
  c.cpus = 2;
  return c;
}

TEST(Negative, TableRulesBesideVmallocInEveryRegime) {
  unsigned shared_count = 0;
  for (const vmsa::Regime& real : vmsa::regimes) {
    for (vmsa::LayoutAge age : {vmsa::LayoutAge::today, vmsa::LayoutAge::old}) {
      if (!vmsa::has_layout(real, age)) continue;
      const std::string where =
          std::to_string(real.page_shift) + "/" + std::to_string(real.va_bits) + " " + name(age);
      EXPECT_EQ(verdict(beside_vmalloc(real, age, mm::TableRule::floor_ceiling)), "safe") << where;
      EXPECT_EQ(verdict(beside_vmalloc(real, age, mm::TableRule::v7)), "safe") << where;
      const bool shared = vmsa::vmalloc_shares_top_entry(real, vmsa::layout(real, age));
      const CheckResult any = run(beside_vmalloc(real, age, mm::TableRule::any));
      EXPECT_EQ(is_shared_table_lost(any), shared) << where << ": " << verdict(any);
      EXPECT_EQ(any.verdict, shared ? Verdict::unsafe : Verdict::safe) << where;
      shared_count += shared ? 1 : 0;
    }
  }
  EXPECT_EQ(shared_count, 9u) << "seven today, two in 2019";
}

}  // namespace
}  // namespace shootdown::scenario
