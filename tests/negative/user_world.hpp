// SPDX-License-Identifier: MIT
// The small world with two processes: A maps page 4 at user address 0, B page 5, each through tables of its own.
#pragma once

#include "tests/negative/verdict.hpp"

namespace shootdown::model {

struct UserWorld : SmallWorld {
  struct Process {
    PhysAddr root, pmd, pte;
    std::uint16_t asid = 0;
  };
  static constexpr Process a{PhysAddr(0x11'0000), PhysAddr(0x11'1000), PhysAddr(0x11'2000), 1};
  static constexpr Process b{PhysAddr(0x12'0000), PhysAddr(0x12'1000), PhysAddr(0x12'2000), 2};
  static constexpr PhysAddr slot(const Process& p) { return p.pte; }  ///< of user address 0

  explicit UserWorld(unsigned cpus) : SmallWorld(cpus) {
    World& w = setup.world;
    for (const Process& p : {a, b}) {
      for (PhysAddr table : {p.root, p.pmd, p.pte}) add(table, PageState::table);
      w.memory.write(p.root, vmsa::make_table(r, p.pmd));
      w.memory.write(p.pmd, vmsa::make_table(r, p.pte));
      w.memory.write(slot(p), leaf(p.asid == a.asid ? 4 : 5, {.user = true, .not_global = true}));
    }
    std::ranges::sort(w.pages, {}, &Page::start);
  }
  /// It has the process in TTBR0 from the start.
  void runs(unsigned cpu, const Process& p) {
    shadow::Shadow& s = setup.world.shadow;
    s.install(cpu, s.space_of(p.root, p.asid));
    s.isb(cpu);
  }

  static void switch_to(ModelMachine& m, const Process& p) {
    m.write_ttbr0(p.root, p.asid);
    m.isb();
  }
  static std::string verdict(std::vector<Task> tasks, const std::function<void(UserWorld&)>& world) {
    UserWorld u(static_cast<unsigned>(tasks.size()));
    world(u);
    u.setup.tasks = std::move(tasks);
    return model::verdict(search_small(std::move(u.setup)));
  }
};

/// What Linux does for user entries: no ISB.
inline void flush_user(ModelMachine& m, const vmsa::Tlbi& t) {
  m.dsb(Dsb::ishst);
  m.tlbi(t);
  m.dsb(Dsb::ish);
}

}  // namespace shootdown::model
