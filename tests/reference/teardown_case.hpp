// SPDX-License-Identifier: MIT
// The teardown experiments of teardown_machine.hpp for the model: the real procedures of mm/ over two leaf tables,
// beside loaders and new owners. Also what bench/ measures.
#pragma once

#include "machine/model/system.hpp"
#include "mm/free_tables.hpp"

namespace shootdown::reference {

/// Two levels: a root of 8 entries over tables of 8 pages.
inline constexpr vmsa::Regime small = vmsa::scaled(vmsa::regime(16, 42));
static_assert(small.root_level() == vmsa::pmd_level && small.entries_per_table() == 8);

struct TeardownSetup {
  mm::LeafFlush leaves = mm::LeafFlush::whole_range;
  bool free_mapped = false;
  bool free_tables = true;
  mm::TableFree tables = mm::TableFree::after_flush;
  unsigned table_count = 2;           ///< the last two pages of the first table, the first two of the second
  std::vector<unsigned> load_from{};  ///< page index below the first table's start, for each load of a loader
  unsigned loaders = 0;
  unsigned reusers = 0;
  unsigned words = 2;
  bool declare_live = true;  ///< off: a loader's identity is every fault it has seen, not their number
};

namespace detail {

using model::ModelMachine;
using vmsa::PhysAddr;
using vmsa::VirtAddr;

inline constexpr std::uint64_t root_page = 0x0f00'0000;
inline constexpr std::uint64_t table_pages = 0x1000'0000;
inline constexpr std::uint64_t data_pages = 0x2000'0000;
inline constexpr unsigned first_leaf = 6;
/// A page descriptor without access flag, one with, and a word that is none: all with output address 0.
inline constexpr std::array<std::uint64_t, 3> words{0x3, 0x403, 0x1};

inline VirtAddr page_va(unsigned index) { return small.base() + index * small.page_size(); }

inline std::uint64_t touch(ModelMachine& m, VirtAddr va) {
  machine::Scope<ModelMachine, std::uint64_t> scope(m, "touch");
  return scope.leave(m.load(va).faulted);
}

inline void load_all(ModelMachine& m, const TeardownSetup& t) {
  std::uint64_t faults = 0;
  for (std::uint64_t i = 0; i < t.load_from.size(); ++i) {
    if (t.declare_live) m.live({i, faults});
    faults += touch(m, page_va(t.load_from[i]));
  }
}

inline void reuse(ModelMachine& m, unsigned word_count) {
  machine::Scope scope(m, "new_owner");
  const PhysAddr page = m.take_released();
  m.data_store(page, words[m.choose(word_count)]);
}

inline void tear_down(ModelMachine& m, const TeardownSetup& t) {
  const vmsa::VirtRange range{page_va(first_leaf), page_va(first_leaf + 2 * t.table_count)};
  mm::unmap_hotplug<small>(m, range, {t.leaves, t.free_mapped});
  if (t.leaves == mm::LeafFlush::whole_range) mm::flush_tlb_kernel_range<small>(m, range);
  if (t.free_tables) mm::free_empty_tables<small>(m, range, {{}, t.tables});
}

inline void add_page(model::World& w, std::uint64_t pa, model::PageState state, bool allocatable) {
  model::Page p;
  p.start = PhysAddr(pa);
  p.usage.state = state;
  p.allocatable = allocatable;
  w.pages.push_back(p);
}

}  // namespace detail

inline model::Setup set_up(const TeardownSetup& t) {
  using namespace detail;
  const unsigned cpus = 1 + t.loaders + t.reusers;
  model::Setup setup{
      .world = {.memory = model::Memory(small.page_shift), .shadow = shadow::Shadow(small, cpus)},
      .root = PhysAddr(root_page)};
  model::World& w = setup.world;
  add_page(w, root_page, model::PageState::table, false);
  for (unsigned i = 0; i < t.table_count; ++i) {
    const PhysAddr table(table_pages + i * small.page_size());
    add_page(w, table.value, model::PageState::table, false);
    w.memory.write(setup.root + i * sizeof(vmsa::Descriptor), vmsa::make_table(small, table));
  }
  for (unsigned i = 0; i < 2 * t.table_count; ++i) {
    const PhysAddr page(data_pages + i * small.page_size());
    add_page(w, page.value, model::PageState::used, false);
    const VirtAddr va = page_va(first_leaf + i);
    const PhysAddr table(table_pages + (first_leaf + i) / 8 * small.page_size());
    w.memory.write(vmsa::slot_address(small, table, vmsa::page_level, va),
                   vmsa::make_leaf(small, vmsa::page_level, page, vmsa::page_kernel));
  }
  setup.tasks.emplace_back([t](ModelMachine& m) { tear_down(m, t); });
  for (unsigned i = 0; i < t.loaders; ++i) setup.tasks.emplace_back([t](ModelMachine& m) { load_all(m, t); });
  for (unsigned i = 0; i < t.reusers; ++i)
    setup.tasks.emplace_back([count = t.words](ModelMachine& m) { reuse(m, count); });
  return setup;
}

}  // namespace shootdown::reference
