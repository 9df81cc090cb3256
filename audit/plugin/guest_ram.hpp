// SPDX-License-Identifier: MIT
// The guest's RAM as the plugin sees it: the file that backs it, mapped once more; and walks of its tables.
#pragma once

#include <cstdint>
#include <optional>

#include "audit/regime.hpp"
#include "vmsa/descriptor.hpp"

namespace shootdown::audit::plugin {

class GuestRam {
 public:
  /// False when the file cannot be mapped.
  bool map(const char* path, std::uint64_t start, std::uint64_t bytes);

  bool contains(std::uint64_t pa) const { return pa - start_ < bytes_; }
  std::uint64_t start() const { return start_; }
  std::uint64_t bytes() const { return bytes_; }

  /// An aligned 64-bit word; other CPUs may be writing it.
  std::uint64_t word(std::uint64_t pa) const {
    return __atomic_load_n(reinterpret_cast<const std::uint64_t*>(base_ + (pa - start_)), __ATOMIC_ACQUIRE);
  }

 private:
  const std::uint8_t* base_ = nullptr;
  std::uint64_t start_ = 0;
  std::uint64_t bytes_ = 0;
};

/// A regime and its root table, as TCR_EL1 and a TTBR describe them.
struct Translation {
  vmsa::Regime regime;
  std::uint64_t root = 0;
};

/// Walks the tables in memory, as hardware would find them now.
std::optional<std::uint64_t> translate(const GuestRam& ram, const Translation& t, std::uint64_t va);

}  // namespace shootdown::audit::plugin
