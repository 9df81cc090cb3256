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

/// The context that a walk is made in and that its entries are tagged with. The kernel half (TTBR1) is space 0,
/// whatever the ASID; every other space is a root in TTBR0 together with its ASID.
struct Context {
  std::uint16_t asid = 0;
  std::uint8_t space = 0;

  friend constexpr auto operator<=>(const Context&, const Context&) = default;
};

/// Where a slot stands: the addresses it translates (aligned to the span of its level) and in which context.
struct Place {
  Level level;
  VirtAddr va;
  Context context{};

  friend constexpr auto operator<=>(const Place&, const Place&) = default;
};

/// An invalidation that was issued and not yet completed: its issuer's DSB takes the entry from these CPUs.
struct Doom {
  unsigned issuer = 0;
  bool broadcast = true;
  CpuSet cpus;

  friend constexpr auto operator<=>(const Doom&, const Doom&) = default;
};

/// Erratum CVE-2025-10263: the entry is gone, but stores that these CPUs translated by it may still be on their way,
/// until the issuer has completed one more broadcast TLBI.
struct Flight {
  unsigned issuer = 0;
  bool repeated = false;  ///< that TLBI has been issued
  CpuSet cpus;

  friend constexpr auto operator<=>(const Flight&, const Flight&) = default;
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
    return {place.level, place.va, is_table(), !value.not_global(), place.context.asid};
  }
};

/// One that is stale: held by some CPU, and not derivable from the current tables.
struct Entry : Held {
  CpuSet holders;
  CpuSet unsynchronised;      ///< holders that have completed the invalidation but not yet their own ISB
  CpuSet ordered;             ///< CPUs whose later TLBIs act on the change: a DSB of theirs has followed it
  CpuSet ordered_here;        ///< the same for their local TLBIs
  std::vector<Doom> dooms{};  ///< sorted
  std::vector<Flight> flights{};  ///< sorted; only with the erratum

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

/// What hardware may cache of a descriptor. Where it manages the access flag, a leaf with the flag clear can be set at
/// any moment, speculative walks included, and is cached so (R_LHQRX): "never accessed, so never cached" is wrong there.
constexpr Descriptor as_cached(const Regime& r, Level level, Descriptor d, bool hardware_access_flag) {
  if (hardware_access_flag && is_leaf(r, level, d)) d.bits |= Descriptor::accessed_bit;
  return d;
}

}  // namespace shootdown::shadow
