// SPDX-License-Identifier: MIT
// One entry of the shadow: a descriptor value that CPUs may still hold although the tables no longer say it.
#pragma once

#include <bit>
#include <compare>
#include <cstdint>
#include <vector>

#include "vmsa/descriptor.hpp"
#include "vmsa/tlbi.hpp"

namespace shootdown::shadow {

using vmsa::Descriptor;
using vmsa::Level;
using vmsa::PhysAddr;
using vmsa::PhysRange;
using vmsa::Regime;
using vmsa::VirtAddr;
using vmsa::VirtRange;

/// A set of up to 64 CPUs.
struct CpuSet {
  std::uint64_t bits = 0;

  static constexpr CpuSet one(unsigned cpu) { return {std::uint64_t{1} << cpu}; }
  static constexpr CpuSet first(unsigned count) {
    return {count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1};
  }

  friend constexpr auto operator<=>(CpuSet, CpuSet) = default;
  friend constexpr CpuSet operator&(CpuSet a, CpuSet b) { return {a.bits & b.bits}; }
  friend constexpr CpuSet operator|(CpuSet a, CpuSet b) { return {a.bits | b.bits}; }
  friend constexpr CpuSet operator-(CpuSet a, CpuSet b) { return {a.bits & ~b.bits}; }
  constexpr bool empty() const { return bits == 0; }
  constexpr bool contains(unsigned cpu) const { return (bits >> cpu & 1) != 0; }
  constexpr unsigned lowest() const { return static_cast<unsigned>(std::countr_zero(bits)); }
};

/// Where a slot stands: the addresses it translates (aligned to the span of its level) and the context that
/// tags walk-cache entries made from it.
struct Place {
  Level level;
  VirtAddr va;
  std::uint16_t asid = 0;

  friend constexpr auto operator<=>(const Place&, const Place&) = default;
};

/// An invalidation that was issued and not yet completed: its issuer's DSB takes the entry from these CPUs.
struct Doom {
  unsigned issuer = 0;
  bool broadcast = true;
  CpuSet cpus;

  friend constexpr auto operator<=>(const Doom&, const Doom&) = default;
};

/// A value of a slot, as a TLB or walk cache may keep it.
struct Held {
  Place place;
  PhysAddr slot;
  Descriptor value;

  friend auto operator<=>(const Held&, const Held&) = default;

  constexpr bool is_table() const { return value.is_table(place.level); }
  constexpr VirtRange range(const Regime& r) const { return {place.va, place.va + r.span(place.level)}; }
  constexpr vmsa::CachedEntry cached() const {
    return {place.level, place.va, is_table(), !value.not_global(), place.asid};
  }
};

/// One that is stale: held by some CPU, and not derivable from the current tables.
struct Entry : Held {
  CpuSet holders;
  CpuSet unsynchronised;    ///< holders that have completed the invalidation but not yet their own ISB
  std::vector<Doom> dooms;  ///< sorted

  friend auto operator<=>(const Entry&, const Entry&) = default;

  bool same_value(const Held& other) const { return static_cast<const Held&>(*this) == other; }
};

/// A leaf as the hardware of this regime takes it: a block at a level that has none is reserved and faults.
constexpr bool is_leaf(const Regime& r, Level level, Descriptor d) {
  const vmsa::DescriptorKind kind = d.kind(r, level);
  return kind == vmsa::DescriptorKind::block || kind == vmsa::DescriptorKind::page;
}

/// May a TLB or walk cache hold this descriptor at all? Faulting ones are never cached (I_WZCBG). One with the access flag
/// clear faults; under hardware management of the flag it is cached as what hardware makes of it (R_LHQRX), which who
/// sees hardware's store learns from that, and who does not must ask for with `hardware_access_flag`.
constexpr bool cacheable(const Regime& r, Level level, Descriptor d, bool hardware_access_flag = false) {
  return d.is_table(level) || (is_leaf(r, level, d) && (d.accessed() || hardware_access_flag));
}

}  // namespace shootdown::shadow
