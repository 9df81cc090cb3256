// SPDX-License-Identifier: MIT
// Building kernel mappings in live tables: new tables are zeroed and ordered before they are linked, invalid
// becomes valid, nothing valid is ever overwritten. Tearing down is unmap.hpp and free_tables.hpp.
#pragma once

#include <bit>

#include "mm/strategy.hpp"
#include "mm/tlbflush.hpp"

namespace shootdown::mm {

using machine::PageUse;

/// A zeroed table page that may be linked: its zeros are visible to every walker before any later store of
/// this CPU (DSB ISHST). 0 when there is no memory.
template <Machine M>
PhysAddr alloc_table(M& m) {
  Scope<M, PhysAddr> scope(m, "alloc_table");
  const PhysAddr table = m.alloc_pages(PageUse::table, 0);
  if (table != PhysAddr{}) {
    m.clear_page(table);
    m.dsb(Dsb::ishst);
  }
  return scope.leave(table);
}

/// The table below the entry of `va`, allocated and linked if there is none. 0 when there is no memory.
template <Regime R, Level L, Machine M>
PhysAddr table_below(M& m, PhysAddr table, VirtAddr va) {
  Scope<M, PhysAddr> scope(m, "table_below");
  const PhysAddr slot = vmsa::slot_address(R, table, L, va);
  const Descriptor d = m.read_once(slot);
  if (d.is_table(L)) return scope.leave(vmsa::output_address(R, L, d));
  if (d.valid()) {
    m.warn("a leaf is already mapped where a table is needed");
    return scope.leave(PhysAddr{});
  }
  const PhysAddr below = alloc_table(m);
  if (below != PhysAddr{}) m.write_once(slot, vmsa::make_table(R, below));
  return scope.leave(below);
}

/// What a linear mapping maps: all of it, for alignment decisions, and the distance from VA to PA.
struct LinearMapping {
  VirtRange whole;
  PhysAddr start;  ///< the physical address of whole.start
  Mapping mapping;

  constexpr PhysAddr physical(VirtAddr va) const { return start + (va - whole.start); }
  constexpr bool covers(VirtAddr start_va, std::uint64_t size) const {
    const std::uint64_t before = start_va - whole.start;  // huge when it starts below the mapping
    return before <= whole.size() && size <= whole.size() - before && physical(start_va).is_aligned(size);
  }
};

/// May this entry be one leaf, and is its whole contiguous group inside the mapping?
template <Regime R, Level L>
constexpr bool is_leaf_here(const LinearMapping& map, VirtAddr va) {
  if (L == vmsa::page_level) return true;
  return R.has_block(L) && L >= map.mapping.largest && va.is_aligned(R.span(L)) && map.covers(va, R.span(L));
}
template <Regime R, Level L>
constexpr bool is_contiguous_here(const LinearMapping& map, VirtAddr va) {
  const std::uint64_t group = R.contiguous_span(L);
  return map.mapping.contiguous && L >= vmsa::pmd_level && map.covers(va.align_down(group), group);
}

/// Maps [range) below `table`; false when a table could not be allocated (what was mapped stays).
template <Regime R, Level L, Machine M>
bool map_range(M& m, PhysAddr table, VirtRange range, const LinearMapping& map) {
  Scope<M, bool> scope(m, "map_range");
  for (VirtAddr va = range.start, next; va != range.end; va = next) {
    next = entry_end(R, L, va, range.end);
    if (is_leaf_here<R, L>(map, va)) {
      vmsa::Attributes attributes = vmsa::page_kernel;
      attributes.contiguous = is_contiguous_here<R, L>(map, va);
      m.write_once(vmsa::slot_address(R, table, L, va), vmsa::make_leaf(R, L, map.physical(va), attributes));
      continue;
    }
    if constexpr (L < vmsa::page_level) {
      const PhysAddr below = table_below<R, L>(m, table, va);
      if (below == PhysAddr{}) return scope.leave(false);
      if (!map_range<R, L.next()>(m, below, {va, next}, map)) return scope.leave(false);
    }
  }
  return scope.leave(true);
}

/// Invalid entries have become valid: no TLBI, but the stores must be visible to walkers and to this CPU's
/// own fetches before the mapping is used (R_GPPYH, I_WZCBG).
template <Machine M>
void publish_mappings(M& m) {
  m.dsb(Dsb::ishst);
  m.isb();
}

/// __create_pgd_mapping() for the linear map of new memory.
template <Regime R, Machine M>
bool create_linear_map(M& m, const MemoryMap& map, PhysRange range, const Mapping& mapping) {
  Scope<M, bool> scope(m, "create_linear_map");
  const LinearMapping linear{map.linear(range), range.start, mapping};
  const bool mapped = map_range<R, R.root_level()>(m, m.kernel_root(), linear.whole, linear);
  publish_mappings(m);
  return scope.leave(mapped);
}

}  // namespace shootdown::mm
