// SPDX-License-Identifier: MIT
// What each CPU of the hot-remove experiments runs, for one regime: procedures of mm/, in order.
#pragma once

#include <stdexcept>

#include "machine/model/procedure.hpp"
#include "mm/hot_add.hpp"
#include "mm/ptdump.hpp"
#include "mm/vmalloc.hpp"
#include "scenario/hot_remove.hpp"

namespace shootdown::scenario {

/// The tasks of one regime. `regime` selects among the instantiations; the rest is data.
struct TaskSet {
  model::Task build;              ///< alone, before the experiment: the neighbour and the range
  std::vector<model::Task> cpus;  ///< the experiment
};
TaskSet tasks_4k(const HotRemoveConfig& c, const Arrangement& a);
TaskSet tasks_16k(const HotRemoveConfig& c, const Arrangement& a);
TaskSet tasks_64k(const HotRemoveConfig& c, const Arrangement& a);

namespace detail {

using model::ModelMachine;

/// Words that a new owner may write into a page: leaves and tables by their looks, access flag clear or set.
inline constexpr std::array<std::uint64_t, 3> hostile_words{0x3, 0x403, 0x1};

template <vmsa::Regime R>
struct Tasks {
  const HotRemoveConfig& c;
  const Arrangement& a;

  mm::RemovePlan plan() const { return {c.strategy, c.table_rule, c.memmap_on_memory}; }

  /// Boot: the neighbour, and for hot-remove the range itself.
  model::Task build() const {
    return [c = c, a = a, plan = plan()](ModelMachine& m) {
      mm::create_linear_map<R>(m, a.map, a.neighbour, c.mapping);
      if (maps_struct_pages_of_neighbour(c)) mm::add_pages<R>(m, a.map, a.neighbour);
      if (c.experiment == Experiment::hot_add) return;
      if (c.path != Path::vmemmap) mm::create_linear_map<R>(m, a.map, a.range, c.mapping);
      if (c.path != Path::linear) mm::add_pages<R>(m, a.map, a.range, plan.memmap_on_memory);
      m.memblock_add(a.range);
    };
  }

  model::Task remove() const {
    if (!c.memblock_last)
      return [a = a, plan = plan()](ModelMachine& m) { remove_memblock_first(m, a, plan); };
    return [a = a, plan = plan()](ModelMachine& m) { mm::try_remove_memory<R>(m, a.map, a.range, plan); };
  }
  /// The order of before 2019, when nothing was valid any more by the time the teardown asked.
  static void remove_memblock_first(ModelMachine& m, const Arrangement& a, const mm::RemovePlan& plan) {
    machine::Scope scope(m, "try_remove_memory");
    m.lock(machine::Lock::memory_hotplug);
    m.memblock_remove(a.range);
    mm::arch_remove_memory<R>(m, a.map, a.range, plan);
    m.release_range(a.range);
    m.unlock(machine::Lock::memory_hotplug);
  }
  model::Task add_then_remove() const {
    return [a = a, mapping = c.mapping, plan = plan()](ModelMachine& m) {
      if (!mm::add_memory<R>(m, a.map, a.range, mapping, plan)) return;
      use_range(m, a);
      mm::try_remove_memory<R>(m, a.map, a.range, plan);
    };
  }
  /// memmap_init_range() and the first page that is given out: by the CPU that has mapped them.
  static void use_range(ModelMachine& m, const Arrangement& a) {
    expect_mapped(m, a.map.vmemmap(R, a.range).start);
    expect_mapped(m, a.map.phys_to_virt(a.range.start));
  }

  static void expect_mapped(ModelMachine& m, mm::VirtAddr va) {
    machine::Scope scope(m, "access");
    if (m.load(va).faulted != 0) m.unexpected_fault(va);
  }
  /// Its memory, and its struct pages where those are what may be hit.
  static void use_neighbour(ModelMachine& m, const HotRemoveConfig& c, const Arrangement& a) {
    if (c.path != Path::vmemmap || !maps_struct_pages_of_neighbour(c))
      expect_mapped(m, a.map.phys_to_virt(a.neighbour.start));
    if (maps_struct_pages_of_neighbour(c)) expect_mapped(m, a.map.vmemmap(R, a.neighbour).start);
  }
  static void use_vmalloc(ModelMachine& m, const Arrangement& a) {
    machine::Scope scope(m, "vmalloc_user");
    if (!mm::vmap_page<R>(m, a.vmalloc, a.vmalloc_page)) return;
    expect_mapped(m, a.vmalloc);
    mm::vunmap_page<R>(m, a.vmalloc);
  }
  static void dump(ModelMachine& m, const HotRemoveConfig& c, const Arrangement& a) {
    machine::Scope scope(m, "ptdump");
    if (c.path != Path::vmemmap) mm::ptdump_walk<R>(m, a.map.linear(a.range), c.dumper_takes_lock);
    if (c.path != Path::linear) mm::ptdump_walk<R>(m, a.map.vmemmap(R, a.range), c.dumper_takes_lock);
  }
  /// The new owner of something that was released writes words that look like descriptors.
  static void reuse(ModelMachine& m) {
    machine::Scope scope(m, "new_owner");
    const mm::PhysAddr page = m.take_released();
    m.data_store(page, hostile_words[m.choose(hostile_words.size())]);
  }

  TaskSet all() const {
    TaskSet set{build(), {}};
    set.cpus.push_back(c.experiment == Experiment::hot_add ? add_then_remove() : remove());
    const bool vmalloc = c.experiment == Experiment::hot_remove;
    auto neighbour = [c = c, a = a, vmalloc](ModelMachine& m, bool dumps) {
      use_neighbour(m, c, a);
      if (vmalloc) use_vmalloc(m, a);
      if (dumps) dump(m, c, a);
    };
    if (c.cpus == 2) {
      set.cpus.push_back([neighbour](ModelMachine& m) {
        neighbour(m, true);
        reuse(m);
      });
      return set;
    }
    set.cpus.push_back([neighbour, dumps = c.cpus == 3](ModelMachine& m) { neighbour(m, dumps); });
    set.cpus.push_back([](ModelMachine& m) { reuse(m); });
    if (c.cpus == 4) set.cpus.push_back([c = c, a = a](ModelMachine& m) { dump(m, c, a); });
    return set;
  }
};

/// The instantiations of one real regime: scaled, full, or full with a long range.
template <vmsa::Regime Real>
TaskSet tasks_of(const HotRemoveConfig& c, const Arrangement& a) {
  if constexpr (has_full_geometry(Real)) {
    constexpr vmsa::Regime by_pages = vmsa::with_small_sections(Real, 1);
    constexpr vmsa::Regime by_blocks = vmsa::with_small_sections(Real, Real.bits_per_level);
    if (a.regime == by_pages) return Tasks<by_pages>{c, a}.all();
    if (a.regime == by_blocks) return Tasks<by_blocks>{c, a}.all();
    if constexpr (Real.has_block(vmsa::pud_level)) {
      constexpr vmsa::Regime long_range = vmsa::with_small_sections(Real, long_range_bits);
      if (a.regime == long_range) return Tasks<long_range>{c, a}.all();
    }
  }
  constexpr vmsa::Regime by_pages = vmsa::scaled_for_hotplug(Real, 0);
  constexpr vmsa::Regime by_blocks = vmsa::scaled_for_hotplug(Real, scaled_block_bits);
  if (a.regime == by_pages) return Tasks<by_pages>{c, a}.all();
  if (a.regime == by_blocks) return Tasks<by_blocks>{c, a}.all();
  throw std::logic_error("no instantiation has this regime");
}

}  // namespace detail
}  // namespace shootdown::scenario
