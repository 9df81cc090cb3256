// SPDX-License-Identifier: MIT
// From ID registers and a regime to TCR_EL1, MAIR_EL1 and SCTLR_EL1, and to the features that procedures ask
// for. Pure functions of register values; reading and writing the registers is mmu.cpp.
#pragma once

#include <cstdint>

#include "machine/machine.hpp"
#include "vmsa/regime.hpp"

namespace shootdown::metal::guest {

/// The ID registers that decide (D19.2).
struct IdRegisters {
  std::uint64_t mmfr0 = 0;  ///< ID_AA64MMFR0_EL1
  std::uint64_t mmfr1 = 0;
  std::uint64_t mmfr2 = 0;
  std::uint64_t isar0 = 0;  ///< ID_AA64ISAR0_EL1
};

constexpr unsigned id_field(std::uint64_t reg, unsigned shift) {
  return static_cast<unsigned>(reg >> shift & 0xf);
}

/// What a CPU can do with a page size.
struct GranuleSupport {
  bool present = false;
  bool lpa2 = false;  ///< 52-bit addresses with 4K or 16K pages
};

constexpr GranuleSupport granule_support(const IdRegisters& id, unsigned page_shift) {
  switch (page_shift) {
    case 12: {
      const unsigned f = id_field(id.mmfr0, 28);  // TGRAN4: 0 yes, 1 with LPA2, 15 no
      return {f < 8, f == 1};
    }
    case 14: {
      const unsigned f = id_field(id.mmfr0, 20);  // TGRAN16: 0 no, 1 yes, 2 with LPA2
      return {f != 0, f == 2};
    }
    case 16: return {id_field(id.mmfr0, 24) < 8, false};  // TGRAN64: 0 yes, 15 no
  }
  return {};
}

/// nullptr, or what the CPU lacks for this regime.
constexpr const char* missing_for(const IdRegisters& id, const vmsa::Regime& r) {
  const GranuleSupport g = granule_support(id, r.page_shift);
  if (!g.present) return r.page_shift == 12 ? "4K pages" : r.page_shift == 14 ? "16K pages" : "64K pages";
  if (r.lpa2 && !g.lpa2) return "52-bit addresses with this page size (FEAT_LPA2)";
  if (r.lva && id_field(id.mmfr2, 16) == 0) return "52-bit virtual addresses (FEAT_LVA)";
  return nullptr;
}

constexpr machine::Features features(const IdRegisters& id) {
  machine::Features f;
  f.range_tlbi = id_field(id.isar0, 56) >= 2;
  f.hardware_access_flag = id_field(id.mmfr1, 0) >= 1;
  f.hardware_table_flag = id_field(id.mmfr1, 0) >= 3;
  // 3 is BBML3, which never aborts; a level 2 CPU is on no allow-list of ours, so it may.
  switch (id_field(id.mmfr2, 52)) {
    case 0: f.bbm = vmsa::BbmLevel::level0; break;
    case 1: f.bbm = vmsa::BbmLevel::level1; break;
    case 2: f.bbm = vmsa::BbmLevel::level2; break;
    default: f.bbm = vmsa::BbmLevel::level2_no_abort; break;
  }
  return f;
}

/// The regime of the identity map in TTBR0: 4K pages where the CPU has them, so that no entry of ours is larger
/// than a page (emulators flush everything when a page inside a large entry's reach is invalidated).
constexpr vmsa::Regime identity_regime(const IdRegisters& id, const vmsa::Regime& kernel) {
  const bool has_4k = granule_support(id, 12).present;
  vmsa::Regime r = vmsa::regime(has_4k ? 12 : kernel.page_shift, 48);
  r.lpa2 = kernel.lpa2;  // TCR_EL1.DS is for both halves
  return r;
}

/// Write-back memory at index 0, Device-nGnRE at 1.
inline constexpr std::uint64_t mair_el1 = 0x04ff;
inline constexpr unsigned device_index = 1;

constexpr std::uint64_t tcr_el1(const IdRegisters& id, const vmsa::Regime& identity,
                                const vmsa::Regime& kernel) {
  constexpr std::uint64_t wb_inner_shareable = 0x35;  // IRGN, ORGN: write-back; SH: inner
  const std::uint64_t tg0 = identity.page_shift == 12 ? 0 : identity.page_shift == 14 ? 2 : 1;
  const std::uint64_t tg1 = kernel.page_shift == 12 ? 2 : kernel.page_shift == 14 ? 1 : 3;
  std::uint64_t ips = id_field(id.mmfr0, 0);
  // 52-bit output needs descriptors that have room for it.
  if (ips > 5 && !kernel.lpa2 && !kernel.lva) ips = 5;
  std::uint64_t tcr = (64 - identity.va_bits) | wb_inner_shareable << 8 | tg0 << 14 |
                      std::uint64_t{64 - kernel.va_bits} << 16 | wb_inner_shareable << 24 | tg1 << 30 |
                      ips << 32;
  if (features(id).hardware_access_flag) tcr |= std::uint64_t{1} << 39;
  if (kernel.lpa2) tcr |= std::uint64_t{1} << 59;
  return tcr;
}

/// RES1 bits of Armv8.0, and M, C, I, SA: MMU, caches and stack alignment checks on.
inline constexpr std::uint64_t sctlr_el1_off = 0x30d00980;
inline constexpr std::uint64_t sctlr_el1_on = sctlr_el1_off | 1u << 0 | 1u << 2 | 1u << 12 | 1u << 3;

}  // namespace shootdown::metal::guest
