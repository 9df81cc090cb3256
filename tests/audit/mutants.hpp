// SPDX-License-Identifier: MIT
// Broken kernels, made to order: one instruction of a kernel image replaced by NOP. Which instructions, a trace
// of the unbroken kernel tells: those that did table maintenance in the workload's window.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "audit/error.hpp"
#include "audit/kernel/image.hpp"
#include "audit/trace/event.hpp"

namespace shootdown::audit::test {

/// One instruction that was executed in the window.
struct Mutant {
  std::uint64_t pc = 0;
  EventKind kind = EventKind::end;  ///< tlbi, dsb, store
  std::string operation;            ///< "VAALE1IS", "DSB ISH", "store"
  std::string place;                ///< "unmap_hotplug_range+0x1c8/0x2f0"
  std::string caller;               ///< function that called it, the first time
  std::uint64_t count = 0;
  bool orders_maintenance = false;  ///< of a barrier: was next to a TLBI, or after a store, at least once
  // Of a store: how often it took a valid descriptor away, made one valid, made one of another.
  std::uint64_t clears = 0;
  std::uint64_t sets = 0;
  std::uint64_t changes = 0;
};

/// All of them by address: every TLBI; the barriers next to a TLBI or after a descriptor store; the stores
/// that changed a descriptor's meaning.
Expected<std::vector<Mutant>> mutants_of(const std::filesystem::path& trace);

/// Writes a copy of the image with the instruction at `pc` replaced. `base` is where the image is linked.
Expected<void> write_broken_image(const KernelImage& image, std::uint64_t base, std::uint64_t pc,
                                  const std::filesystem::path& to);

}  // namespace shootdown::audit::test
