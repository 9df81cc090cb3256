// SPDX-License-Identifier: MIT
// Pass 2 of hot-remove: unlink the tables that pass 1 emptied and free them, bottom-up. Never the root.
#pragma once

#include "mm/unmap.hpp"

namespace shootdown::mm {

/// The part of the address space inside which tables may be freed: [floor, ceiling), 0 being the top.
struct TableBounds {
  VirtAddr floor;
  VirtAddr ceiling;

  /// pgtable_range_aligned(): the whole span that a table translates, and not only [start, end), lies inside.
  constexpr bool allow(VirtRange part, std::uint64_t span) const {
    if (part.start.align_down(span) < floor) return false;
    if (ceiling == VirtAddr{}) return true;
    const VirtAddr top = ceiling.align_down(span);
    return top != VirtAddr{} && part.end - 1 <= top - 1;
  }
};

struct FreeRule {
  TableBounds bounds;
  TableFree order;
};

/// Every entry of a table is empty. A leaf that pass 1 should have cleared is a bug of ours.
template <Regime R, Level L, Machine M>
bool table_is_empty(M& m, PhysAddr table) {
  Scope<M, bool> scope(m, "table_is_empty");
  for (unsigned i = 0; i < R.entry_count(L); ++i)
    if (!m.read_once(table + i * sizeof(Descriptor)).none()) return scope.leave(false);
  return scope.leave(true);
}

/// Pass 1 has been here: nothing of the range may be left.
template <Regime R, Machine M>
void expect_unmapped(M& m, PhysAddr table, VirtRange range) {
  Scope scope(m, "expect_unmapped");
  PhysAddr slot = vmsa::slot_address(R, table, vmsa::page_level, range.start);
  const PhysAddr end = slot + (range.size() >> R.page_shift) * sizeof(Descriptor);
  for (; slot != end; slot += sizeof(Descriptor))
    if (!m.read_once(slot).none()) m.warn("a page is still mapped after pass 1");
}

/// Unlinks an empty table and frees it. A walk-cache entry still points to it until the flush, and hardware
/// that walks through it may set access flags in whatever the page holds by then (R_LHQRX).
template <Regime R, Machine M>
void free_hotplug_table(M& m, PhysAddr slot, PhysAddr table, VirtAddr va, TableFree order) {
  Scope scope(m, "free_hotplug_table");
  m.write_once(slot, Descriptor{});
  switch (order) {
    case TableFree::after_flush:
      flush_tlb_kernel_pgtable<R>(m, va);
      m.free_pages(table, PageUse::table, 0);
      break;
    case TableFree::before_flush:
      m.free_pages(table, PageUse::table, 0);
      flush_tlb_kernel_pgtable<R>(m, va);
      break;
    case TableFree::later: m.defer_free(table, PageUse::table, 0); break;
  }
}

template <Regime R, Level L, Machine M>
void free_empty_tables_range(M& m, PhysAddr table, VirtRange range, const FreeRule& rule);

/// The table below one entry: its children first, then itself.
template <Regime R, Level L, Machine M>
void free_empty_table(M& m, PhysAddr slot, VirtRange range, const FreeRule& rule) {
  Scope scope(m, "free_empty_table");
  const Descriptor d = m.read_once(slot);
  if (d.none()) return;
  if (!d.is_table(L)) return m.warn("a block is still mapped after pass 1");
  const PhysAddr below = vmsa::output_address(R, L, d);
  if constexpr (L.next() == vmsa::page_level)
    expect_unmapped<R>(m, below, range);
  else
    free_empty_tables_range<R, L.next()>(m, below, range, rule);
  if (!rule.bounds.allow(range, R.span(L))) return;
  if (!table_is_empty<R, L.next()>(m, below)) return;
  free_hotplug_table<R>(m, slot, below, range.start, rule.order);
}

/// free_empty_pmd_table() and its relatives: every entry of one table.
template <Regime R, Level L, Machine M>
void free_empty_tables_range(M& m, PhysAddr table, VirtRange range, const FreeRule& rule) {
  Scope scope(m, "free_empty_tables");
  for (VirtAddr va = range.start, next; va != range.end; va = next) {
    next = entry_end(R, L, va, range.end);
    free_empty_table<R, L>(m, vmsa::slot_address(R, table, L, va), {va, next}, rule);
  }
}

/// Pass 2 from the root.
template <Regime R, Machine M>
void free_empty_tables(M& m, VirtRange range, const FreeRule& rule) {
  free_empty_tables_range<R, R.root_level()>(m, m.kernel_root(), range, rule);
}

}  // namespace shootdown::mm
