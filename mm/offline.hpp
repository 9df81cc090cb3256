// SPDX-License-Identifier: MIT
// What arm64 asks before memory goes offline: can it be unmapped later without splitting a leaf? Removal itself, in
// hot_remove.hpp, does not ask again.
#pragma once

#include "mm/hot_remove.hpp"

namespace shootdown::mm {

/// addr_splits_kernel_leaf() (95a58852b0e5): `va` lies inside of a block or a contiguous group, and at no end of it.
template <Regime R, Level L, Machine M>
bool addr_splits_kernel_leaf(M& m, PhysAddr table, VirtAddr va) {
  Scope<M, bool> scope(m, "addr_splits_kernel_leaf");
  if (va.is_aligned(R.contiguous_span(L))) return scope.leave(false);
  const Descriptor d = m.read_once(vmsa::slot_address(R, table, L, va));
  if (d.is_leaf(L) && d.contiguous()) return scope.leave(true);
  if (va.is_aligned(R.span(L))) return scope.leave(false);
  if constexpr (L < vmsa::page_level)
    if (d.is_table(L))
      return scope.leave(addr_splits_kernel_leaf<R, L.next()>(m, vmsa::output_address(R, L, d), va));
  return scope.leave(d.is_leaf(L));
}

/// can_unmap_without_split(): neither end of the range lies inside of a leaf, in the linear map or in vmemmap.
template <Regime R, Machine M>
bool can_unmap_without_split(M& m, const MemoryMap& map, PhysRange range) {
  Scope<M, bool> scope(m, "can_unmap_without_split");
  const auto splits = [&](VirtAddr va) {
    return addr_splits_kernel_leaf<R, R.root_level()>(m, m.kernel_root(), va);
  };
  const VirtRange linear = map.linear(range), vmemmap = map.vmemmap(R, range);
  return scope.leave(!splits(linear.start) && !splits(linear.end) && !splits(vmemmap.start) &&
                     !splits(vmemmap.end));
}

/// offline_and_remove_memory(): false when the memory cannot go without what shares a leaf with it.
template <Regime R, Machine M>
bool offline_and_remove_memory(M& m, const MemoryMap& map, PhysRange range, const RemovePlan& plan) {
  Scope<M, bool> scope(m, "offline_and_remove_memory");
  m.lock(machine::Lock::memory_hotplug);
  const bool offline = can_unmap_without_split<R>(m, map, range);
  m.unlock(machine::Lock::memory_hotplug);
  if (!offline) return scope.leave(false);
  try_remove_memory<R>(m, map, range, plan);
  return scope.leave(true);
}

}  // namespace shootdown::mm
