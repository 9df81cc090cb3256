// SPDX-License-Identifier: MIT
// Memory hot-add: linear map, then memblock, then the vmemmap of each section; a failure half-way is undone
// by hot-remove's own teardown.
#pragma once

#include "mm/hot_remove.hpp"
#include "mm/vmemmap.hpp"

namespace shootdown::mm {

/// __add_pages(): the vmemmap of every section; false at the first that cannot be populated.
template <Regime R, Machine M>
bool add_pages(M& m, const MemoryMap& map, PhysRange range) {
  Scope<M, bool> scope(m, "add_pages");
  for (PhysAddr pa = range.start; pa != range.end; pa += R.section_size())
    if (!vmemmap_populate<R>(m, map.vmemmap(R, {pa, pa + R.section_size()}))) return scope.leave(false);
  return scope.leave(true);
}

/// arch_add_memory(): false when memory ran out; then nothing of the range is left mapped.
template <Regime R, Machine M>
bool arch_add_memory(M& m, const MemoryMap& map, PhysRange range, const Mapping& mapping,
                     const RemovePlan& undo) {
  Scope<M, bool> scope(m, "arch_add_memory");
  const bool added =
      create_linear_map<R>(m, map, range, mapping) && (m.memblock_add(range), add_pages<R>(m, map, range));
  if (!added) {
    m.memblock_add(range);  // the teardown asks pfn_valid()
    arch_remove_memory<R>(m, map, range, undo);
    m.memblock_remove(range);
    m.release_range(range);
  }
  return scope.leave(added);
}

/// add_memory(): `range` is a whole number of sections, aligned to one.
template <Regime R, Machine M>
bool add_memory(M& m, const MemoryMap& map, PhysRange range, const Mapping& mapping, const RemovePlan& undo) {
  Scope<M, bool> scope(m, "add_memory");
  m.lock(machine::Lock::memory_hotplug);
  const bool added = arch_add_memory<R>(m, map, range, mapping, undo);
  m.unlock(machine::Lock::memory_hotplug);
  return scope.leave(added);
}

}  // namespace shootdown::mm
