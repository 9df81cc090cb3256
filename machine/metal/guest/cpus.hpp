// SPDX-License-Identifier: MIT
// The CPUs: starting them by PSCI, letting all run one job, a barrier inside of it, spin locks. What a job does
// is the experiment's business.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "machine/metal/guest/layout.h"
#include "machine/metal/guest/platform.hpp"

namespace shootdown::metal::guest {

/// What assembly knows of a CPU; TPIDR_EL1 points to it.
struct alignas(64) Cpu {
  std::uint64_t fault_esr;
  std::uint64_t fault_far;
  std::uint64_t stack_top;
  std::uint64_t mpidr;
  unsigned index;
  unsigned job_seen;
  std::atomic<bool> online;
};
static_assert(offsetof(Cpu, fault_esr) == CPU_FAULT_ESR && offsetof(Cpu, fault_far) == CPU_FAULT_FAR &&
              offsetof(Cpu, stack_top) == CPU_STACK_TOP);

Cpu& this_cpu();
unsigned cpu_count();

/// Makes this CPU CPU 0, before anything else here is called.
void init_boot_cpu(const Platform& platform);
/// Caches are on: exclusives work from here on.
void memory_is_shared();
bool cpus_share_memory();
/// Starts all others. Panics, naming the CPU, when one does not come up.
void start_secondaries(const Platform& platform);

/// Runs `job(argument)` on every CPU, this one (CPU 0) included; returns when all have finished.
void run_on_all(void (*job)(void*), void* argument);

/// Inside a job: returns when every CPU has come here.
void barrier();
/// Wakes all other CPUs that wait in wait_until().
void wake_others();
/// Interrupts sent so far, by all CPUs together.
std::uint64_t sgi_count();

/// A test-and-set lock. Contention is short and rare here.
class SpinLock {
 public:
  void lock() {
    while (taken_.exchange(true, std::memory_order_acquire)) {
    }
  }
  void unlock() { taken_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> taken_{false};
};

/// Many readers or one writer.
class SharedSpinLock {
 public:
  void lock() {
    for (int free = 0; !state_.compare_exchange_weak(free, -1, std::memory_order_acquire); free = 0) {
    }
  }
  void unlock() { state_.store(0, std::memory_order_release); }
  void lock_shared() {
    for (int readers = 0;
         readers < 0 || !state_.compare_exchange_weak(readers, readers + 1, std::memory_order_acquire);)
      readers = state_.load(std::memory_order_relaxed);
  }
  void unlock_shared() { state_.fetch_sub(1, std::memory_order_release); }

 private:
  std::atomic<int> state_{0};
};

}  // namespace shootdown::metal::guest
