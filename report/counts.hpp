// SPDX-License-Identifier: MIT
// What a removal did, counted by kind: one type for `boot`, `time` and `audit`, so that their counts can be
// compared number by number. Freestanding. Counts are exact; no time belongs here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "machine/machine.hpp"
#include "vmsa/tlbi.hpp"

namespace shootdown::report {

/// Counts over one window. For hot-remove the window is the removal: try_remove_memory() from entry to return
/// (all of its calls, when memory blocks are removed one by one); building the mapping is outside.
struct Counts {
  std::array<std::uint64_t, vmsa::tlbi_ops.size()> tlbi{};     ///< by position in `tlbi_ops`
  std::array<std::uint64_t, machine::dsb_names.size()> dsb{};  ///< by machine::Dsb
  std::uint64_t isb = 0;
  std::uint64_t sgi = 0;                ///< interrupts sent, one per target CPU
  std::uint64_t descriptor_stores = 0;  ///< single descriptors written, clears included; clear_page() is not
  std::uint64_t tables_freed = 0;       ///< table pages handed back to the allocator
  std::optional<std::uint64_t> instructions;  ///< nothing where nobody can count them

  friend constexpr bool operator==(const Counts&, const Counts&) = default;
};

}  // namespace shootdown::report
