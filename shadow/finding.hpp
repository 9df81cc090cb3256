// SPDX-License-Identifier: MIT
// Judgements over the shadow: what a release, a reuse or a new mapping would harm, and where a CPU's accesses
// may go. Pure questions: nothing here changes the shadow.
#pragma once

#include <optional>
#include <vector>

#include "shadow/harm.hpp"
#include "shadow/shadow.hpp"
#include "vmsa/break_before_make.hpp"

namespace shootdown::shadow {

/// A harm, with the stale entry that makes it possible.
struct Finding {
  Harm harm = Harm::none;
  CpuSet holders;   ///< CPUs that may do the damage
  Entry entry;      ///< the stale entry that they would use
  VirtAddr va{};    ///< an address through which they would
  PhysAddr page{};  ///< the page that was released, or the slot that was written
  vmsa::Conflict conflict = vmsa::Conflict::none;  ///< for break-before-make
  Descriptor now{};                                ///< what has become reachable, where that is the harm

  /// Nothing was stale: the tables themselves lead there, by words that a page's last owner left in it.
  bool by_leftovers() const { return harm != Harm::break_before_make && now.valid() && now == entry.value; }
};

/// Where a walk of the current tables ends.
struct Translation {
  PhysAddr pa;
  Level level;
  Descriptor leaf;
};

/// Walks the current tables from `root`; nothing when the walk faults. A leaf whose access flag is clear
/// translates when hardware may set it.
std::optional<Translation> walk(const Regime& r, const TableMemory& memory, PhysAddr root, VirtAddr va,
                                bool hardware_access_flag = true);

/// What the release of `range` to its provider would harm. `root` is the table root whose current translations
/// excuse an entry: one that the tables still derive is not stale (a live alias harms nobody).
std::optional<Finding> check_release(const Shadow& shadow, const TableMemory& memory, PhysAddr root,
                                     PhysRange range);

/// Does what a store has just made reachable at `place` contradict what a CPU may still hold? Call after
/// `Shadow::store_linked`, so that the replaced value counts as held.
std::optional<Finding> check_exposed(const Shadow& shadow, const TableMemory& memory, const Place& place,
                                     PhysAddr slot, Descriptor now, vmsa::BbmLevel bbm);

/// Everywhere that an access of `cpu` to `va` may end: the current translation (or its fault) first, then what
/// stale entries allow.
struct Reach {
  std::optional<PhysAddr> pa;  ///< nothing: a translation fault
  bool stale = false;
};
std::vector<Reach> reach(const Shadow& shadow, const TableMemory& memory, PhysAddr root, unsigned cpu,
                         VirtAddr va, bool hardware_access_flag);

}  // namespace shootdown::shadow
