// SPDX-License-Identifier: MIT
// Pass 1 of hot-remove: clear every leaf of a range, and invalidate as the strategy says. Tables stay linked.
#pragma once

#include <bit>

#include "mm/map.hpp"

namespace shootdown::mm {

/// What pass 1 does besides clearing.
struct UnmapRule {
  LeafFlush flush;
  bool free_mapped;  ///< free the pages behind the leaves: vmemmap yes, the linear map no

  /// A block, or a page under the per-leaf rule, is flushed at once.
  constexpr bool flushes_leaf(Level level) const {
    const bool per_table = flush == LeafFlush::per_table || flush == LeafFlush::per_table_cursor;
    return flush == LeafFlush::each_leaf || (per_table && level < vmsa::page_level);
  }
};

/// Frees what a cleared leaf mapped, or keeps it on the list until the flush that is still to come.
template <Machine M>
void free_hotplug_page_range(M& m, PhysAddr page, unsigned order, LeafFlush flush) {
  Scope scope(m, "free_hotplug_page_range");
  if (flush == LeafFlush::whole_range || flush == LeafFlush::later)
    m.defer_free(page, PageUse::vmemmap, order);
  else
    m.free_pages(page, PageUse::vmemmap, order);
}

template <Regime R, Level L, Machine M>
void unmap_hotplug_range(M& m, PhysAddr table, VirtRange range, UnmapRule rule);

/// One entry: a leaf is cleared, a table is descended into, nothing is skipped.
template <Regime R, Level L, Machine M>
void unmap_hotplug_entry(M& m, PhysAddr slot, VirtRange range, UnmapRule rule) {
  Scope scope(m, "unmap_hotplug_entry");
  const Descriptor d = m.read_once(slot);
  if (d.none()) return;
  if constexpr (L < vmsa::page_level) {
    if (d.is_table(L)) {
      unmap_hotplug_range<R, L.next()>(m, vmsa::output_address(R, L, d), range, rule);
      return;
    }
    // Half a block cannot be cleared, and the other half is in use. Linux refuses such a removal when the memory goes
    // offline (offline.hpp); whoever did not ask unmaps what is not theirs.
    if (range.size() < R.span(L)) m.warn("a block is unmapped of which a part stays in use");
  }
  m.write_once(slot, Descriptor{});
  // One operation removes a block whole: a page's worth of address is enough.
  if (rule.flushes_leaf(L)) flush_tlb_kernel_range<R>(m, first_page(R, range));
  if (rule.free_mapped)
    free_hotplug_page_range(m, vmsa::output_address(R, L, d), R.span_shift(L) - R.page_shift, rule.flush);
}

/// unmap_hotplug_pte_range() and its relatives of every level, over one table.
template <Regime R, Level L, Machine M>
void unmap_hotplug_range(M& m, PhysAddr table, VirtRange range, UnmapRule rule) {
  Scope scope(m, "unmap_hotplug_range");
  const UnmapRule here{rule.flush, rule.free_mapped};  // in registers, where a parameter would be read again
  PhysAddr slot = vmsa::slot_address(R, table, L, range.start);
  for (VirtAddr va = range.start; va != range.end; va = entry_end(R, L, va, range.end)) {
    unmap_hotplug_entry<R, L>(m, slot, {va, entry_end(R, L, va, range.end)}, here);
    slot += sizeof(Descriptor);
  }
  if constexpr (L == vmsa::page_level) {
    if (rule.flush == LeafFlush::per_table) flush_tlb_kernel_range<R>(m, range);
    // As posted, the RFC flushed from the loop's cursor, which has reached the end by now.
    if (rule.flush == LeafFlush::per_table_cursor) flush_tlb_kernel_range<R>(m, {range.end, range.end});
  }
}

/// Pass 1 from the root. Under LeafFlush::whole_range the caller flushes, and then frees what was deferred.
template <Regime R, Machine M>
void unmap_hotplug(M& m, VirtRange range, UnmapRule rule) {
  unmap_hotplug_range<R, R.root_level()>(m, m.kernel_root(), range, rule);
}

}  // namespace shootdown::mm
