// SPDX-License-Identifier: MIT
// The kernel page-table dumper: a lockless walker of kernel tables, kept away from table freeing by the
// memory-hotplug lock alone.
#pragma once

#include "mm/memory_map.hpp"
#include "mm/tlbflush.hpp"

namespace shootdown::mm {

/// Reads every entry of a table over `range`, and of the tables below.
template <Regime R, Level L, Machine M>
void ptdump_walk_table(M& m, PhysAddr table, VirtRange range);

template <Regime R, Level L, Machine M>
void ptdump_walk_entry(M& m, PhysAddr slot, VirtRange range) {
  Scope scope(m, "ptdump_walk_entry");
  const Descriptor d = m.read_once(slot);
  if constexpr (L < vmsa::page_level)
    if (d.is_table(L)) ptdump_walk_table<R, L.next()>(m, vmsa::output_address(R, L, d), range);
}

template <Regime R, Level L, Machine M>
void ptdump_walk_table(M& m, PhysAddr table, VirtRange range) {
  Scope scope(m, "ptdump_walk_table");
  for (VirtAddr va = range.start, next; va != range.end; va = next) {
    next = entry_end(R, L, va, range.end);
    ptdump_walk_entry<R, L>(m, vmsa::slot_address(R, table, L, va), {va, next});
  }
}

/// ptdump_walk(): with `locked` false, the dumper before it took the hotplug lock.
template <Regime R, Machine M>
void ptdump_walk(M& m, VirtRange range, bool locked = true) {
  Scope scope(m, "ptdump_walk");
  if (locked) m.lock_shared(machine::Lock::memory_hotplug);
  ptdump_walk_table<R, R.root_level()>(m, m.kernel_root(), range);
  if (locked) m.unlock_shared(machine::Lock::memory_hotplug);
}

}  // namespace shootdown::mm
