// SPDX-License-Identifier: MIT
// Populating the struct page array of new memory, section by section: by a 2 MiB block where a section fills
// one and it can be allocated, by base pages otherwise. Tearing it down is hot_remove.hpp.
#pragma once

#include "mm/map.hpp"

namespace shootdown::mm {

/// Where the pages behind a piece of vmemmap come from: the allocator, or the head of the memory block that they
/// describe (struct vmem_altmap), in the order of their addresses.
struct Altmap {
  PhysAddr pages{};  ///< 0: the allocator
  VirtAddr start{};  ///< what the first of them backs

  constexpr bool carves() const { return pages != PhysAddr{}; }
  constexpr PhysAddr page_of(VirtAddr va) const { return pages + (va - start); }
};

/// Maps one freshly allocated leaf of vmemmap; false when there is no memory for it.
template <Regime R, Level L, Machine M>
bool vmemmap_set_leaf(M& m, PhysAddr table, VirtAddr va, const Altmap& altmap) {
  Scope<M, bool> scope(m, "vmemmap_set_leaf");
  const PhysAddr slot = vmsa::slot_address(R, table, L, va);
  if (m.read_once(slot).valid()) return scope.leave(true);  // shared with a section populated before
  const PhysAddr page =
      altmap.carves() ? altmap.page_of(va) : m.alloc_pages(PageUse::vmemmap, R.span_shift(L) - R.page_shift);
  if (page == PhysAddr{}) return scope.leave(false);
  m.write_once(slot, vmsa::make_leaf(R, L, page, vmsa::page_kernel));
  return scope.leave(true);
}

/// vmemmap_populate_hugepages() and vmemmap_populate_basepages() in one walk. A block that cannot be
/// allocated falls back to base pages; only a missing table or base page is a failure.
template <Regime R, Level L, Machine M>
bool vmemmap_populate_range(M& m, PhysAddr table, VirtRange range, const Altmap& altmap) {
  Scope<M, bool> scope(m, "vmemmap_populate_range");
  for (VirtAddr va = range.start, next; va != range.end; va = next) {
    next = entry_end(R, L, va, range.end);
    if constexpr (L == vmsa::page_level) {
      if (!vmemmap_set_leaf<R, L>(m, table, va, altmap)) return scope.leave(false);
    } else {
      if constexpr (L == vmsa::pmd_level && R.vmemmap_uses_blocks())
        if (next - va == R.span(L) && vmemmap_set_leaf<R, L>(m, table, va, altmap)) continue;
      const PhysAddr below = table_below<R, L>(m, table, va);
      if (below == PhysAddr{}) return scope.leave(false);
      if (!vmemmap_populate_range<R, L.next()>(m, below, {va, next}, altmap)) return scope.leave(false);
    }
  }
  return scope.leave(true);
}

/// vmemmap_populate(): the struct pages of one section, or of a part of it. A part never fills a block, so it has base
/// pages: a block would be cleared whole when the part is removed (d4234d131b0a).
template <Regime R, Machine M>
bool vmemmap_populate(M& m, VirtRange range, const Altmap& altmap = {}) {
  Scope<M, bool> scope(m, "vmemmap_populate");
  const bool populated = vmemmap_populate_range<R, R.root_level()>(m, m.kernel_root(), range, altmap);
  publish_mappings(m);
  return scope.leave(populated);
}

}  // namespace shootdown::mm
