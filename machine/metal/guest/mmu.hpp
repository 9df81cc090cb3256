// SPDX-License-Identifier: MIT
// The identity map in TTBR0, an empty kernel half in TTBR1, and switching both on. What is in the registers is
// translation_control.hpp; the kernel half's contents are the procedures' business.
#pragma once

#include <cstdint>

#include "machine/metal/guest/platform.hpp"
#include "machine/metal/guest/translation_control.hpp"
#include "vmsa/address.hpp"

namespace shootdown::metal::guest {

using vmsa::PhysAddr;
using vmsa::PhysRange;

/// Boot memory that is given away once and never taken back: from the end of the image upwards.
class EarlyMemory {
 public:
  constexpr EarlyMemory(PhysAddr start, PhysAddr end) : next_(start), end_(end) {}
  /// Zeroed; panics when boot memory is too small.
  PhysAddr take(std::uint64_t bytes, std::uint64_t alignment);
  PhysAddr next() const { return next_; }

 private:
  PhysAddr next_, end_;
};

IdRegisters read_id_registers();

/// Builds the identity map of `memory` and of the devices, and an empty root for the kernel half; returns that.
/// With MMU and caches off; afterwards they are on.
PhysAddr enable_translation(const IdRegisters& id, const vmsa::Regime& kernel, const Platform& platform,
                            PhysRange memory, EarlyMemory& early);

/// Makes what secondaries load visible to them while their caches are off.
void clean_mmu_registers();

}  // namespace shootdown::metal::guest
