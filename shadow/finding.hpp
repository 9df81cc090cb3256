// SPDX-License-Identifier: MIT
// Judgements over the shadow: what a release, a reuse or a new mapping would harm, and where a CPU's accesses
// may go. Pure questions: nothing here changes the shadow.
#pragma once

#include <optional>
#include <vector>

#include "shadow/harm.hpp"
#include "shadow/shadow.hpp"
#include "vmsa/access.hpp"
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
  bool live = false;         ///< nothing was stale: the tables themselves still lead to the page
  bool other_owner = false;  ///< the entry is another address space's, found under a reused ASID

  /// Nothing was stale: the tables themselves lead there, by words that a page's last owner left in it.
  bool by_leftovers() const { return harm != Harm::break_before_make && now.valid() && now == entry.value; }
};

/// Where a walk ends: at a leaf, or in a fault.
struct Walk {
  vmsa::Fault fault = vmsa::Fault::none;
  Level level{};      ///< of the last descriptor
  PhysAddr slot{};    ///< where it stands
  Descriptor leaf{};  ///< and what it says
  PhysAddr pa{};      ///< without a fault, and with one of the access flag
};

/// Walks the current tables of a space. A leaf whose access flag is clear translates when hardware may set it.
Walk walk(const Shadow& shadow, const TableMemory& memory, std::uint8_t space, VirtAddr va);

/// What the release of `range` to its provider would harm through stale entries. One that the tables still derive is
/// not stale (a live alias harms nobody).
std::optional<Finding> check_release(const Shadow& shadow, const TableMemory& memory, PhysRange range);

/// A live leaf of any address space that still leads to `range`. `by_design(va)` tells mappings that stay whoever owns
/// the page: the linear map's.
std::optional<Finding> check_still_mapped(const Shadow& shadow, const TableMemory& memory, PhysRange range,
                                          FunctionRef<bool(VirtAddr)> by_design);

/// Are so many bytes at two addresses equal?
using SameContents = FunctionRef<bool(PhysAddr, PhysAddr, std::uint64_t bytes)>;

/// Does what a store has just made reachable at `place` contradict what a CPU may still hold? Call after
/// `Shadow::store_linked`, so that the replaced value counts as held. Without `same_contents` no two pages are equal.
std::optional<Finding> check_exposed(const Shadow& shadow, const TableMemory& memory, const Place& place,
                                     PhysAddr slot, Descriptor now, vmsa::BbmLevel bbm,
                                     SameContents same_contents = {});

/// A word of data has changed. Where an address may lead to two pages, which is right as long as they are equal, they
/// are not any more (R_WHZWS).
std::optional<Finding> check_still_equal(const Shadow& shadow, const TableMemory& memory, PhysAddr word);

/// `cpu` installs `space`: does it still hold anything of another space with the same ASID? (rule 23)
std::optional<Finding> check_reuse(const Shadow& shadow, const TableMemory& memory, unsigned cpu,
                                   std::uint8_t space);

/// Software relies on nobody being able to make this access to `range` any more, where the tables forbid it.
std::optional<Finding> check_relied(const Shadow& shadow, const TableMemory& memory, std::uint8_t space,
                                    VirtRange range, vmsa::AccessKind kind);

/// Everywhere that an access of `cpu` to `va` may end, its permission aside: the current translation (or its fault)
/// first, then what stale entries allow.
struct Reach {
  Walk walk;
  bool stale = false;
};
std::vector<Reach> reach(const Shadow& shadow, const TableMemory& memory, unsigned cpu, VirtAddr va);

}  // namespace shootdown::shadow
