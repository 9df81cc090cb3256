// SPDX-License-Identifier: MIT
// Memory hot-remove: arch_remove_memory() with every strategy, and the outer order around it.
// The two passes themselves are unmap.hpp and free_tables.hpp.
#pragma once

#include "mm/free_tables.hpp"

namespace shootdown::mm {

/// How to remove: the strategy, and which tables may go.
struct RemovePlan {
  Strategy strategy;
  TableRule rule = TableRule::floor_ceiling;
  bool memmap_on_memory = false;  ///< struct pages were carved from each memory block: they go back with it
};

/// The bounds that a table rule gives for a region; V7 and `any` know none.
constexpr TableBounds table_bounds(TableRule rule, VirtRange region) {
  if (rule != TableRule::floor_ceiling) return {};
  return {region.start, region.end};
}

/// V7's answer to vmalloc walking tables without a lock: leave vmemmap's tables alone where they may be shared.
constexpr bool frees_vmemmap_tables(const Regime& r, const MemoryMap& map, TableRule rule) {
  return rule != TableRule::v7 || !vmsa::vmalloc_shares_top_entry(r, map.layout);
}

/// Frees everything that waits on this CPU's list; the flush it waited for is complete.
template <Machine M>
void free_deferred(M& m) {
  Scope scope(m, "free_deferred");
  for (auto d = m.take_deferred(); d.page != PhysAddr{}; d = m.take_deferred())
    m.free_pages(d.page, d.use, d.order);
}

/// Calls `body(section)` for each section of a range of memory, or the part of it that the range takes in.
template <Regime R, Machine M, typename Body>
void for_each_section(M& m, PhysRange range, Body&& body) {
  for (PhysAddr pa = range.start; pa != range.end;) {
    const PhysRange section = section_part(R, range, pa);
    body(section);
    m.cond_resched();
    pa = section.end;
  }
}

/// vmemmap_free() of one section.
template <Regime R, Machine M>
void vmemmap_free(M& m, const MemoryMap& map, PhysRange section, const RemovePlan& plan) {
  Scope scope(m, "vmemmap_free");
  if (!m.pfn_valid(section.start)) return;  // nothing is known of it: memblock must go last
  const VirtRange range = map.vmemmap(R, section);
  unmap_hotplug<R>(m, range, {plan.strategy.vmemmap, /*free_mapped=*/!plan.memmap_on_memory});
  if (plan.strategy.vmemmap == LeafFlush::whole_range || !frees_vmemmap_tables(R, map, plan.rule)) return;
  free_empty_tables<R>(m, range, {table_bounds(plan.rule, map.layout.vmemmap), plan.strategy.tables});
}

/// The vmemmap of a range whose pages wait for one flush: clear all, flush once, free, then the tables.
template <Regime R, Machine M>
void vmemmap_flush_and_free(M& m, const MemoryMap& map, PhysRange range, const RemovePlan& plan) {
  Scope scope(m, "vmemmap_flush_and_free");
  flush_tlb_kernel_range<R>(m, map.vmemmap(R, range));
  free_deferred(m);
  if (!frees_vmemmap_tables(R, map, plan.rule)) return;
  for_each_section<R>(m, range, [&](PhysRange section) {
    free_empty_tables<R>(m, map.vmemmap(R, section),
                         {table_bounds(plan.rule, map.layout.vmemmap), plan.strategy.tables});
  });
}

/// __remove_pgd_mapping(): the linear map of a range.
template <Regime R, Machine M>
void remove_linear_map(M& m, const MemoryMap& map, PhysRange range, const RemovePlan& plan) {
  Scope scope(m, "remove_linear_map");
  const VirtRange linear = map.linear(range);
  unmap_hotplug<R>(m, linear, {plan.strategy.linear, /*free_mapped=*/false});
  if (plan.strategy.linear == LeafFlush::whole_range) flush_tlb_kernel_range<R>(m, linear);
  free_empty_tables<R>(m, linear, {table_bounds(plan.rule, map.layout.linear), plan.strategy.tables});
}

/// arch_remove_memory(): the vmemmap of every section, then the linear map in one call.
template <Regime R, Machine M>
void arch_remove_memory(M& m, const MemoryMap& map, PhysRange range, const RemovePlan& plan) {
  Scope scope(m, "arch_remove_memory");
  for_each_section<R>(m, range, [&](PhysRange section) { vmemmap_free<R>(m, map, section, plan); });
  if (plan.strategy.vmemmap == LeafFlush::whole_range) vmemmap_flush_and_free<R>(m, map, range, plan);
  remove_linear_map<R>(m, map, range, plan);
  if (plan.strategy.tables != TableFree::later) return;
  // Nothing was flushed yet: every leaf and every unlinked table may still be cached and walked.
  flush_tlb_kernel_ranges_and_tables<R>(m, map.linear(range), map.vmemmap(R, range));
  free_deferred(m);
}

/// remove_memory_blocks_and_altmaps(): block by block, as they were added.
template <Regime R, Machine M>
void remove_memory_blocks(M& m, const MemoryMap& map, PhysRange range, const RemovePlan& plan) {
  Scope scope(m, "remove_memory_blocks");
  for_each_section<R>(m, range, [&](PhysRange block) { arch_remove_memory<R>(m, map, block, plan); });
}

/// try_remove_memory(): memory that is offline. memblock goes last, because the teardown asks pfn_valid();
/// dumpers are kept out by the hotplug lock. The provider has the range back when this returns.
template <Regime R, Machine M>
void try_remove_memory(M& m, const MemoryMap& map, PhysRange range, const RemovePlan& plan) {
  Scope scope(m, "try_remove_memory");
  m.lock(machine::Lock::memory_hotplug);
  if (plan.memmap_on_memory)
    remove_memory_blocks<R>(m, map, range, plan);
  else
    arch_remove_memory<R>(m, map, range, plan);
  m.memblock_remove(range);
  m.release_range(range);
  m.unlock(machine::Lock::memory_hotplug);
}

}  // namespace shootdown::mm
