// SPDX-License-Identifier: MIT
// The experiment of install_machine.hpp for the model: vmalloc's users of mm/ under three levels of tables.
// Also what bench/ measures.
#pragma once

#include "machine/model/system.hpp"
#include "mm/vmalloc.hpp"

namespace shootdown::reference {

/// Three levels of four entries. The root and one middle table are there and shared; tables of pages are not.
inline constexpr vmsa::Regime tall = vmsa::scaled(vmsa::regime(14, 47));
static_assert(tall.root_level() == vmsa::pud_level && tall.entries_per_table() == 4);

struct InstallSetup {
  unsigned cpus = 2;
  bool shared_first = true;
};

namespace install {

using model::ModelMachine;
using vmsa::PhysAddr;
using vmsa::VirtAddr;

inline constexpr std::uint64_t root_page = 0x0f00'0000;
inline constexpr std::uint64_t middle_page = 0x0f00'4000;
inline constexpr std::uint64_t pool = 0x1000'0000;
inline constexpr std::uint64_t data = 0x2000'0000;
/// A free page holds what its last owner left: here, a word that looks like a valid page.
inline constexpr std::uint64_t left_behind = data | 0x403;

/// The address behind one entry of the middle table.
inline VirtAddr behind(unsigned slot) { return tall.base() + slot * tall.span(vmsa::pmd_level); }

/// The tables of one address, no leaf.
inline void populate(ModelMachine& m, VirtAddr va) {
  machine::Scope scope(m, "populate");
  (void)mm::vmalloc_page_table<tall, tall.root_level()>(m, m.kernel_root(), va);
}

inline void use(ModelMachine& m, VirtAddr va, PhysAddr page) {
  machine::Scope scope(m, "use");
  if (!mm::vmap_page<tall>(m, va, page)) return;
  if (m.load(va).faulted != 0) m.unexpected_fault(va);
  mm::vunmap_page<tall>(m, va);
}

}  // namespace install

inline model::Setup set_up(const InstallSetup& s) {
  using namespace install;
  model::Setup setup{
      .world = {.memory = model::Memory(tall.page_shift), .shadow = shadow::Shadow(tall, s.cpus)},
      .root = PhysAddr(root_page)};
  model::World& w = setup.world;
  auto add = [&](std::uint64_t pa, model::PageState state, bool allocatable) {
    model::Page p;
    p.start = PhysAddr(pa);
    p.usage.state = state;
    p.allocatable = allocatable;
    w.pages.push_back(p);
  };
  add(root_page, model::PageState::table, false);
  add(middle_page, model::PageState::table, false);
  w.memory.write(setup.root, vmsa::make_table(tall, PhysAddr(middle_page)));
  for (unsigned i = 0; i <= s.cpus; ++i) {
    add(pool + i * tall.page_size(), model::PageState::free, true);
    w.memory.write(PhysAddr(pool + i * tall.page_size()), vmsa::Descriptor{left_behind});
  }
  add(data, model::PageState::used, false);
  const unsigned slots = tall.entries_per_table();
  for (unsigned cpu = 0; cpu < s.cpus; ++cpu)
    setup.tasks.emplace_back([=, shared = s.shared_first](ModelMachine& m) {
      if (shared) populate(m, behind(slots - 1));
      use(m, behind(cpu), PhysAddr(data));
    });
  return setup;
}

}  // namespace shootdown::reference
