// SPDX-License-Identifier: MIT
// Memory hot-add: linear map, then memblock, then the vmemmap of each section; a failure half-way is undone
// by hot-remove's own teardown.
#pragma once

#include "mm/hot_remove.hpp"
#include "mm/vmemmap.hpp"

namespace shootdown::mm {

/// __add_pages(): the vmemmap of every section; false at the first that cannot be populated.
template <Regime R, Machine M>
bool add_pages(M& m, const MemoryMap& map, PhysRange range, bool memmap_on_memory = false) {
  Scope<M, bool> scope(m, "add_pages");
  const Altmap altmap = memmap_on_memory ? Altmap{range.start, map.vmemmap(R, range).start} : Altmap{};
  for (PhysAddr pa = range.start; pa != range.end;) {
    const PhysRange section = section_part(R, range, pa);
    if (!vmemmap_populate<R>(m, map.vmemmap(R, section), altmap)) return scope.leave(false);
    pa = section.end;
  }
  return scope.leave(true);
}

/// arch_add_memory(): false when memory ran out; then nothing of the range is left mapped.
///
/// Linux undoes less. It takes down the linear map, and of vmemmap the section that could not be populated
/// (section_deactivate()); the sections before it stay populated and present, and a second attempt to add them fails
/// with EEXIST. Here they go as well: what is checked is the teardown, after every number of allocations.
template <Regime R, Machine M>
bool arch_add_memory(M& m, const MemoryMap& map, PhysRange range, const Mapping& mapping,
                     const RemovePlan& undo) {
  Scope<M, bool> scope(m, "arch_add_memory");
  const bool added =
      create_linear_map<R>(m, map, range, mapping) && add_pages<R>(m, map, range, undo.memmap_on_memory);
  if (!added) arch_remove_memory<R>(m, map, range, undo);
  return scope.leave(added);
}

/// create_altmaps_and_memory_blocks(): each memory block, a section here, is added for itself and holds its own struct
/// pages; when one cannot be, those before it go again.
template <Regime R, Machine M>
bool add_memory_blocks(M& m, const MemoryMap& map, PhysRange range, const Mapping& mapping,
                       const RemovePlan& undo) {
  Scope<M, bool> scope(m, "add_memory_blocks");
  for (PhysAddr pa = range.start; pa != range.end; pa += R.section_size()) {
    if (arch_add_memory<R>(m, map, {pa, pa + R.section_size()}, mapping, undo)) continue;
    remove_memory_blocks<R>(m, map, {range.start, pa}, undo);
    return scope.leave(false);
  }
  return scope.leave(true);
}

/// add_memory(): `range` is a whole number of sections, aligned to one. memblock knows of it first, for the teardown
/// of a failed attempt asks pfn_valid() too.
template <Regime R, Machine M>
bool add_memory(M& m, const MemoryMap& map, PhysRange range, const Mapping& mapping, const RemovePlan& undo) {
  Scope<M, bool> scope(m, "add_memory");
  m.lock(machine::Lock::memory_hotplug);
  m.memblock_add(range);
  const bool added = undo.memmap_on_memory ? add_memory_blocks<R>(m, map, range, mapping, undo)
                                           : arch_add_memory<R>(m, map, range, mapping, undo);
  if (!added) {
    m.memblock_remove(range);
    m.release_range(range);
  }
  m.unlock(machine::Lock::memory_hotplug);
  return scope.leave(added);
}

}  // namespace shootdown::mm
