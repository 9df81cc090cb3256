// SPDX-License-Identifier: MIT
// What an operation owes to one held value, as pure functions: for every keeper of such values, the shadow of the
// model and the audit's store. How they are kept, and for whom, is not said here.
#pragma once

#include "machine/machine.hpp"
#include "shadow/entry.hpp"
#include "shadow/harm.hpp"

namespace shootdown::shadow {

/// Why an operation left an entry where it is, or that it did not.
enum class Outcome : std::uint8_t {
  doomed,      ///< gone once the issuer's DSB completes
  address,     ///< another address
  last_level,  ///< leaf-only, and this is a table, or is refilled through a table that stays
  asid,
  level_hint,
  granule,
  contiguous,  ///< a member of its group is still valid and may refill it (R_LQLSD, I_JQPNP)
  scope,       ///< doomed for the issuer only: others hold it too
};

/// What a TLBI does to a held value, if nothing refills it.
constexpr Outcome outcome_of(const Regime& r, const vmsa::Tlbi& op, const Held& held) {
  switch (vmsa::tlbi_miss(r, op, held.cached())) {
    case vmsa::Miss::none: return Outcome::doomed;
    case vmsa::Miss::address: return Outcome::address;
    case vmsa::Miss::last_level: return Outcome::last_level;
    case vmsa::Miss::asid: return Outcome::asid;
    case vmsa::Miss::level_hint: return Outcome::level_hint;
    case vmsa::Miss::granule: return Outcome::granule;
    case vmsa::Miss::unpredictable: return Outcome::level_hint;
  }
  return Outcome::address;
}

/// What is to blame when the entry does harm later, and no other operation removed it.
constexpr Cause cause_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::doomed: return Cause::no_dsb;
    case Outcome::address: return Cause::no_tlbi;
    case Outcome::last_level: return Cause::last_level;
    case Outcome::asid: return Cause::asid;
    case Outcome::level_hint:
    case Outcome::granule: return Cause::coverage;
    case Outcome::contiguous: return Cause::contiguous;
    case Outcome::scope: return Cause::scope;
  }
  return Cause::none;
}

/// Does a DSB between a store and a later TLBI of the same CPU make the store count for that TLBI? Any kind orders
/// stores; its domain must be as wide as the TLBI's reach (K11.5.3.1).
constexpr bool orders_before_tlbi(machine::Dsb kind, bool broadcast) {
  const bool is_local = kind == machine::Dsb::nsh || kind == machine::Dsb::nshst;
  return !(is_local && broadcast);
}

/// Does a DSB complete its CPU's TLBIs of this reach? NSH the local ones, ISH all; the store-only kinds none
/// (R_LXHLD, R_PSMWS).
constexpr bool completes(machine::Dsb kind, bool broadcast) {
  return kind == machine::Dsb::ish || (kind == machine::Dsb::nsh && !broadcast);
}

/// Does a valid member of the contiguous group that a leaf came from let a CPU form this very leaf again? One does
/// that maps the group to where the leaf does, and allows no less (R_LQLSD). `memory.read(slot)` is the word as
/// walkers see it.
template <typename Memory>
bool group_refills(const Regime& r, const Memory& memory, const Held& leaf) {
  const Level level = leaf.place.level;
  const unsigned count = r.contiguous_count(level);
  if (leaf.is_table() || count == 1 || !leaf.value.contiguous()) return false;
  const PhysAddr first = leaf.slot.align_down(count * sizeof(Descriptor));
  const std::uint64_t own = (leaf.slot - first) / sizeof(Descriptor);
  for (std::uint64_t i = 0; i < count; ++i) {
    const Descriptor member = memory.read(first + i * sizeof(Descriptor));
    if (!is_leaf(r, level, member) || !member.contiguous()) continue;
    const std::uint64_t distance = (i - own) * r.span(level);  // below the leaf it wraps
    const bool same_place =
        vmsa::output_address(r, level, member) == vmsa::output_address(r, level, leaf.value) + distance;
    if (same_place && (vmsa::is_writable(member) || !vmsa::is_writable(leaf.value))) return true;
  }
  return false;
}

}  // namespace shootdown::shadow
