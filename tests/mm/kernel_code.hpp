// SPDX-License-Identifier: MIT
// The procedures of mm/, instantiated once for the recording machine: one row a regime, so that tests can loop.
#pragma once

#include <span>

#include "mm/hot_remove.hpp"
#include "tests/mm/recording_machine.hpp"

namespace shootdown::mm {

struct KernelCode {
  Regime r;
  bool (*create_linear_map)(RecordingMachine&, const MemoryMap&, PhysRange, const Mapping&);
  void (*remove_linear_map)(RecordingMachine&, const MemoryMap&, PhysRange, const RemovePlan&);
  bool (*add_memory)(RecordingMachine&, const MemoryMap&, PhysRange, const Mapping&, const RemovePlan&);
  void (*try_remove_memory)(RecordingMachine&, const MemoryMap&, PhysRange, const RemovePlan&);
  bool (*offline_and_remove_memory)(RecordingMachine&, const MemoryMap&, PhysRange, const RemovePlan&);
  bool (*vmap_page)(RecordingMachine&, VirtAddr, PhysAddr);
  void (*vunmap_page)(RecordingMachine&, VirtAddr);
};

/// The ten real regimes, in the order of vmsa::regimes.
std::span<const KernelCode> real_kernels();
/// The three default ones with sections of two pages: few enough operations to read.
std::span<const KernelCode> small_section_kernels();

}  // namespace shootdown::mm
