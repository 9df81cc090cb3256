// SPDX-License-Identifier: MIT
// GICv3: just enough for SGIs and each CPU's virtual timer. No SPIs, no LPIs, no security states.
#pragma once

#include <cstdint>

#include "machine/metal/guest/platform.hpp"

namespace shootdown::metal::guest {

/// nullptr, or why this machine's interrupt controller is none of ours.
const char* check_interrupt_controller(const Platform& platform);

/// The distributor; once, on CPU 0.
void init_distributor(const Platform& platform);
/// This CPU's redistributor and CPU interface. Panics when it has no redistributor.
void init_cpu_interrupts();

void send_sgi_to_others();
/// To the CPU with these affinity fields.
void send_sgi_to(std::uint64_t mpidr);

/// Interrupts this CPU once, after `ticks` of the counter.
void start_timer(std::uint64_t ticks);

}  // namespace shootdown::metal::guest
