// SPDX-License-Identifier: MIT
// A vmalloc user beside hot-remove: it walks kernel tables without a lock and takes one only to install a
// table, so a table it shares must never be freed under it. It frees no tables itself.
#pragma once

#include "mm/map.hpp"

namespace shootdown::mm {

/// The table below the entry of `va`, installed under the page-table lock when there is none; 0 without memory.
template <Regime R, Level L, Machine M>
PhysAddr vmalloc_table_below(M& m, PhysAddr table, VirtAddr va) {
  Scope<M, PhysAddr> scope(m, "vmalloc_table_below");
  const Descriptor d = m.read_once(vmsa::slot_address(R, table, L, va));
  if (d.is_table(L)) return scope.leave(vmsa::output_address(R, L, d));
  m.lock(machine::Lock::init_mm_page_table);
  const PhysAddr below = table_below<R, L>(m, table, va);  // looks again under the lock
  m.unlock(machine::Lock::init_mm_page_table);
  return scope.leave(below);
}

/// The table of pages that translates `va`; 0 when there is no memory for it.
template <Regime R, Level L, Machine M>
PhysAddr vmalloc_page_table(M& m, PhysAddr table, VirtAddr va) {
  if constexpr (L == vmsa::page_level) {
    return table;
  } else {
    const PhysAddr below = vmalloc_table_below<R, L>(m, table, va);
    return below == PhysAddr{} ? below : vmalloc_page_table<R, L.next()>(m, below, va);
  }
}

/// Maps one page at `va`; false when a table could not be allocated.
template <Regime R, Machine M>
bool vmap_page(M& m, VirtAddr va, PhysAddr page) {
  Scope<M, bool> scope(m, "vmap_page");
  const PhysAddr table = vmalloc_page_table<R, R.root_level()>(m, m.kernel_root(), va);
  if (table == PhysAddr{}) return scope.leave(false);
  m.write_once(vmsa::slot_address(R, table, vmsa::page_level, va),
               vmsa::make_leaf(R, vmsa::page_level, page, vmsa::page_kernel));
  publish_mappings(m);
  return scope.leave(true);
}

/// Unmaps the page at `va` and flushes it; its tables stay for the next user.
template <Regime R, Machine M>
void vunmap_page(M& m, VirtAddr va) {
  Scope scope(m, "vunmap_page");
  const PhysAddr table = vmalloc_page_table<R, R.root_level()>(m, m.kernel_root(), va);
  if (table == PhysAddr{}) return;
  m.write_once(vmsa::slot_address(R, table, vmsa::page_level, va), Descriptor{});
  flush_tlb_kernel_range<R>(m, {va, va + R.page_size()});
}

}  // namespace shootdown::mm
