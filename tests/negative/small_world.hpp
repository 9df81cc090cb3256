// SPDX-License-Identifier: MIT
// A tiny world for the model: three levels of tables with four entries each, built by hand, and tasks that are
// lambdas. For bugs that hot-remove itself cannot have; hot-remove's own are scenario/.
#pragma once

#include <optional>
#include <string>

#include "explore/search.hpp"
#include "mm/tlbflush.hpp"
#include "shadow/harm.hpp"

namespace shootdown::model {

inline constexpr vmsa::Regime small_regime = vmsa::scaled(vmsa::regime(12, 39), 1);

/// Four pages at `va` mapped one to one to `data`, in the table `pte` below `pmd` below `root`. `spare` is a
/// table that is not linked.
struct SmallWorld {
  static constexpr vmsa::Regime r = small_regime;
  static constexpr PhysAddr root{0x10'0000}, pmd{0x10'1000}, pte{0x10'2000}, spare{0x10'3000};
  static constexpr PhysAddr data{0x20'0000};  ///< eight pages, aligned to a block
  static constexpr VirtAddr va = r.base();

  explicit SmallWorld(unsigned cpus, const vmsa::Attributes& attributes = vmsa::page_kernel)
      : setup{.world = {.memory = Memory(r.page_shift), .shadow = shadow::Shadow(r, cpus, root)},
              .root = root} {
    for (PhysAddr table : {root, pmd, pte, spare}) add(table, PageState::table);
    for (unsigned i = 0; i < 8; ++i) add(page(i), PageState::used);
    Memory& m = setup.world.memory;
    m.write(root, vmsa::make_table(r, pmd));
    m.write(pmd, vmsa::make_table(r, pte));
    for (unsigned i = 0; i < 4; ++i) m.write(slot(i), leaf(i, attributes));
    setup.features.hardware_access_flag = false;
  }

  static constexpr PhysAddr page(unsigned i) { return data + i * r.page_size(); }
  static constexpr PhysAddr slot(unsigned i) { return pte + i * sizeof(Descriptor); }
  static constexpr VirtAddr at(unsigned i) { return va + i * r.page_size(); }
  static constexpr Descriptor leaf(unsigned i, const vmsa::Attributes& a = vmsa::page_kernel) {
    return vmsa::make_leaf(r, vmsa::page_level, page(i), a);
  }
  static constexpr PhysRange one(unsigned i) { return {page(i), page(i + 1)}; }

  Setup setup;

 protected:
  void add(PhysAddr start, PageState state) {
    Page p;
    p.start = start;
    p.allocatable = false;
    p.usage.state = state;
    setup.world.pages.push_back(p);
  }
};

/// What a search over a setup found.
struct Found {
  explore::SearchResult search;
  std::optional<Violation> violation;
  std::vector<explore::TimelineStep> timeline;
  std::string cause = "none";

  shadow::Harm harm() const { return violation ? violation->finding.harm : shadow::Harm::none; }
  bool safe() const { return search.ending == explore::Ending::exhausted && search.end_states > 0; }
};
Found search_small(Setup setup);

}  // namespace shootdown::model
