// SPDX-License-Identifier: MIT
// The translation regime that a CPU's system registers describe. Pure.
#pragma once

#include <array>
#include <cstdint>

#include "vmsa/regime.hpp"

namespace shootdown::audit {

/// The regime of one half of the address space out of TCR_EL1 (D24.2): T0SZ and TG0, or T1SZ and TG1, and DS.
constexpr vmsa::Regime regime_of(std::uint64_t tcr, bool kernel_half) {
  const auto size = static_cast<unsigned>(tcr >> (kernel_half ? 16 : 0) & 63);
  const auto granule = static_cast<unsigned>(tcr >> (kernel_half ? 30 : 14) & 3);
  // TG1: 16K, 4K, 64K; TG0: 4K, 64K, 16K.
  constexpr std::array<unsigned, 4> kernel_shifts{12, 14, 12, 16};
  constexpr std::array<unsigned, 4> user_shifts{12, 16, 14, 12};
  const unsigned page_shift = kernel_half ? kernel_shifts[granule] : user_shifts[granule];
  vmsa::Regime r = vmsa::regime(page_shift, 64 - size);
  r.lpa2 = page_shift != 16 && (tcr >> 59 & 1) != 0;
  return r;
}

/// A regime that a walk can be made in at all; TCR_EL1 holds anything before the kernel has set it up.
constexpr bool is_usable(const vmsa::Regime& r) { return r.va_bits >= 25 && r.va_bits <= 52; }

/// TCR_EL1.HA and HD: this CPU's walks set the access flag, and the dirty state of writable-clean leaves.
constexpr bool sets_access_flag(std::uint64_t tcr) { return (tcr >> 39 & 1) != 0; }
constexpr bool sets_dirty_state(std::uint64_t tcr) { return (tcr >> 40 & 1) != 0; }

/// A TTBR's table address: no ASID, no CnP. A root of two descriptors is aligned to its 16 bytes alone. (PA[51:48], which
/// FEAT_LPA keeps in bits [5:2], is 0 on the audited machine.)
constexpr std::uint64_t root_of(std::uint64_t ttbr) { return ttbr & 0x0000fffffffffffe; }
constexpr std::uint16_t asid_of(std::uint64_t ttbr) { return static_cast<std::uint16_t>(ttbr >> 48); }
/// TCR_EL1.A1: the ASID is that of TTBR1_EL1.
constexpr bool asid_is_in_ttbr1(std::uint64_t tcr) { return (tcr >> 22 & 1) != 0; }

}  // namespace shootdown::audit
