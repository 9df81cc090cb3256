// SPDX-License-Identifier: MIT
// Wrong procedures that are right at the first and at the last of something: a table, a member of a group, a word, a
// page of a long range. Each needs a world that has something in between, or beside; each world's name says which.
#include <gtest/gtest.h>

#include "scenario/campaign.hpp"
#include "tests/negative/hot_remove_world.hpp"
#include "tests/negative/procedure_world.hpp"

namespace shootdown::scenario {
namespace {

using model::Weakening;
using vmsa::VirtAddr;
using vmsa::VirtRange;

constexpr vmsa::Regime by_pages = vmsa::scaled_for_hotplug(vmsa::regime(12, 48), 0);
constexpr vmsa::Regime long_range = vmsa::with_small_sections(vmsa::regime(12, 48), long_range_bits);

HotRemoveConfig in(Extent extent, HotRemoveConfig c) {
  c.extent = extent;
  return c;
}

template <vmsa::Regime R, typename Flush>
std::string verdict_of(const HotRemoveConfig& c, Flush flush) {
  const Arrangement a = arrange(c);
  return verdict(
      model::search_small(with_remover<R>(c, [a, flush](ModelMachine& m) { remove_with<R>(m, a, flush); })));
}

void leaf(ModelMachine& m, VirtAddr va) {
  m.tlbi(vmsa::Tlbi{.op = vmsa::vaale1is, .va = va, .page_shift = by_pages.page_shift});
}
void right_flush(ModelMachine& m, VirtRange range) { mm::flush_tlb_kernel_range<by_pages>(m, range); }

// ---- three leaf tables: one is neither first nor last -----------------------------------------------------------

TEST(Between, WalkCachesOfTheFirstAndTheLastAddressOnly) {
  const auto wrong = [](const HotRemoveConfig& c) {
    return verdict(mutant(c, model::kind_of<model::op::Tlbi>, "flush_tlb_kernel_ranges_and_tables",
                          Weakening::tlbi_tables_at_ends));
  };
  EXPECT_EQ(wrong(linear("T")), "stale-table last-level")
      << "the flush of the leaves leaves the middle table";
  EXPECT_EQ(verdict(linear("T")), "safe");
  EXPECT_EQ(wrong(in(Extent::inside, linear("T"))), "safe") << "no table is freed: nothing to find there";
}

// ---- groups of four: two members are neither first nor last -----------------------------------------------------

/// Of each contiguous group, the first and the last member that lie in the range.
void ends_of_groups(ModelMachine& m, VirtRange range) {
  flush_by(m, [&](ModelMachine& machine) {
    const std::uint64_t span = by_pages.contiguous_span(vmsa::page_level);
    for (VirtAddr va = range.start; va != range.end;) {
      const VirtAddr group_end = va.align_down(span) + span;
      const VirtAddr end = group_end < range.end ? group_end : range.end;
      leaf(machine, va);
      if (end - va > by_pages.page_size()) leaf(machine, end - by_pages.page_size());
      va = end;
    }
  });
}

TEST(Between, TheFirstAndTheLastMemberOfAGroupOnly) {
  EXPECT_EQ(verdict_of<by_pages>(linear("B", 1), ends_of_groups), "stale-page no-tlbi");
  EXPECT_EQ(verdict_of<by_pages>(linear("B", 1), right_flush), "safe");
}

// ---- leftovers in the first, a middle and the last word ---------------------------------------------------------

TEST(Between, ANewTableOfWhichTheFirstWordIsZeroed) {
  HotRemoveConfig add = linear("B");
  add.experiment = Experiment::hot_add;
  EXPECT_EQ(
      verdict(mutant(add, model::kind_of<model::op::ClearPage>, "alloc_table", Weakening::clear_first_word)),
      "stale-table none");
  EXPECT_EQ(verdict(add), "safe");
}

// ---- a neighbour in the same leaf table: none is freed ----------------------------------------------------------

/// Of each table the first leaf is left to the flush that frees the table, for that names its address.
void all_but_the_first_of_each_table(ModelMachine& m, VirtRange range) {
  flush_by(m, [&](ModelMachine& machine) {
    for (VirtAddr va = range.start; va != range.end; va += by_pages.page_size())
      if (va != range.start && !va.is_aligned(by_pages.span(vmsa::pmd_level))) leaf(machine, va);
  });
}

TEST(Between, ALeafLeftToTheFlushThatFreesItsTable) {
  EXPECT_EQ(verdict_of<by_pages>(in(Extent::inside, linear("B")), all_but_the_first_of_each_table),
            "stale-page no-tlbi");
  EXPECT_EQ(verdict_of<by_pages>(linear("B"), all_but_the_first_of_each_table), "safe")
      << "every table is freed here: the neighbour is what it takes";
  EXPECT_EQ(verdict_of<by_pages>(in(Extent::inside, linear("B")), right_flush), "safe");
}

TEST(Between, TheBarrierOfALeafFlushThatTheNextFlushMakesUpFor) {
  const auto dropped = [](const HotRemoveConfig& c) {
    return verdict(mutant(c, model::kind_of<model::op::Isb>, "flush_tlb_kernel_range", Weakening::drop));
  };
  EXPECT_EQ(dropped(linear("B")), "safe") << "the flush of a table follows";
  EXPECT_EQ(dropped(in(Extent::inside, linear("B"))), "stale-page no-isb") << "and here none does";
}

// ---- e3ba51ab24fd: 32 units ---------------------------------------------------------------------------------------

/// NUM was (units & 31) - 1: 32 units came out as none, and such an operation was not issued.
template <vmsa::Regime R>
void thirty_two_units_are_none(ModelMachine& m, VirtRange range) {
  flush_by(m, [&](ModelMachine& machine) {
    vmsa::for_each_tlbi(R, {.range = range}, /*has_range_tlbi=*/true, [&](const vmsa::Tlbi& t) {
      if (!t.op.range || vmsa::range_fields(t.pages)->num != 31) machine.tlbi(t);
    });
  });
}

TEST(Between, Buge3ba51ab24fd_TheLargestRangeIsNotFlushed) {
  const HotRemoveConfig c = in(Extent::long_range, linear("B", 2));
  EXPECT_EQ(verdict_of<long_range>(c, thirty_two_units_are_none<long_range>), "stale-page no-tlbi");
  EXPECT_EQ(verdict(c), "safe");
  EXPECT_EQ(verdict_of<by_pages>(linear("B"), thirty_two_units_are_none<by_pages>), "safe")
      << "a short range has fewer units: it takes the long one";
}

// ---- a range that no operand says ---------------------------------------------------------------------------------

void one_operation_of_three_pages(ModelMachine& m, VirtRange range) {
  flush_by(m, [&](ModelMachine& machine) {
    vmsa::Tlbi t{.op = vmsa::vaale1is, .va = range.start, .pages = 3, .page_shift = by_pages.page_shift};
    t.op.range = true;
    machine.tlbi(t);
  });
}

TEST(Between, ARangeThatNoOperandSaysIsAWarning) {
  const HotRemoveConfig c = in(Extent::inside, linear("B"));
  ASSERT_EQ(arrange(c).range.size(), 3 * by_pages.page_size()) << "it would cover exactly what is removed";
  EXPECT_EQ(verdict_of<by_pages>(c, one_operation_of_three_pages), "warning none") << "R_QKRKL";
}

}  // namespace
}  // namespace shootdown::scenario
