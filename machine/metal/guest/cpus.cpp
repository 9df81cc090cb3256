// SPDX-License-Identifier: MIT
// Starting CPUs and handing them work.
#include "machine/metal/guest/cpus.hpp"

#include "machine/metal/guest/arch.hpp"
#include "machine/metal/guest/console.hpp"
#include "machine/metal/guest/gic.hpp"
#include "machine/metal/guest/mmu.hpp"

extern "C" {
void secondary_entry();
extern char __stacks[];  // NOLINT: named by the linker script
}

namespace shootdown::metal::guest {

namespace {

Cpu cpus[max_cpus];
unsigned count = 1;
bool shared = false;

void (*job_function)(void*) = nullptr;
void* job_argument = nullptr;
std::atomic<unsigned> job_number{0};
std::atomic<unsigned> jobs_finished{0};

std::atomic<unsigned> barrier_arrived{0};
std::atomic<unsigned> barrier_number{0};

std::atomic<std::uint64_t> sgis{0};

/// Affinity fields only: what PSCI and the interrupt controller call a CPU.
constexpr std::uint64_t affinity = 0xff00ffffffu;

void send(bool all_others) {
  // What the woken CPU is to see must be visible before the interrupt is.
  dsb_ishst();
  sgis.fetch_add(1, std::memory_order_relaxed);
  if (all_others)
    send_sgi_to_others();
  else
    send_sgi_to(cpus[0].mpidr);
}

void finish_job() {
  if (jobs_finished.fetch_add(1, std::memory_order_acq_rel) + 1 == count && this_cpu().index != 0)
    send(false);
}

}  // namespace

// SAFETY: TPIDR_EL1 was set to an element of `cpus` before the first C++ of this CPU that asks for it.
Cpu& this_cpu() { return *reinterpret_cast<Cpu*>(read_tpidr()); }
unsigned cpu_count() { return count; }
std::uint64_t sgi_count() { return sgis.load(std::memory_order_relaxed); }
void memory_is_shared() { shared = true; }
bool cpus_share_memory() { return shared; }

void init_boot_cpu(const Platform& platform) {
  const std::uint64_t self = read_mpidr() & affinity;
  cpus[0].mpidr = self;
  for (unsigned i = 0; i < platform.cpu_count && count < max_cpus; ++i) {
    if ((platform.mpidr[i] & affinity) == self) continue;
    cpus[count].mpidr = platform.mpidr[i] & affinity;
    ++count;
  }
  for (unsigned i = 0; i < count; ++i) {
    cpus[i].index = i;
    cpus[i].stack_top = reinterpret_cast<std::uint64_t>(__stacks) + (i + 1) * std::uint64_t{STACK_SIZE};
  }
  write_tpidr(reinterpret_cast<std::uint64_t>(&cpus[0]));
}

void start_secondaries(const Platform& platform) {
  // They read these with caches off.
  clean_and_invalidate(reinterpret_cast<std::uint64_t>(cpus),
                       reinterpret_cast<std::uint64_t>(cpus + max_cpus));
  clean_mmu_registers();
  for (unsigned i = 1; i < count; ++i) {
    const std::int64_t status = psci::call(platform.psci_smc, psci::cpu_on, cpus[i].mpidr,
                                           reinterpret_cast<std::uint64_t>(&secondary_entry),
                                           reinterpret_cast<std::uint64_t>(&cpus[i]));
    if (status != 0) panic("PSCI CPU_ON refused to start a CPU");
  }
  const std::uint64_t deadline = read_counter() + 10 * read_counter_frequency();
  for (unsigned i = 1; i < count; ++i)
    while (!cpus[i].online.load(std::memory_order_acquire))
      if (read_counter() > deadline) panic("a CPU that PSCI CPU_ON started did not come up");
}

void wake_others() { send(true); }

void barrier() {
  const unsigned number = barrier_number.load(std::memory_order_relaxed);
  if (barrier_arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == count) {
    barrier_arrived.store(0, std::memory_order_relaxed);
    barrier_number.store(number + 1, std::memory_order_release);
    if (count > 1) wake_others();
    return;
  }
  wait_until([&] { return barrier_number.load(std::memory_order_acquire) != number; });
}

void run_on_all(void (*job)(void*), void* argument) {
  job_function = job;
  job_argument = argument;
  jobs_finished.store(0, std::memory_order_relaxed);
  job_number.fetch_add(1, std::memory_order_release);
  if (count > 1) wake_others();
  job(argument);
  finish_job();
  wait_until([] { return jobs_finished.load(std::memory_order_acquire) == count; });
}

}  // namespace shootdown::metal::guest

/// secondary_entry ends here, with MMU and caches on.
extern "C" [[noreturn]] void metal_secondary_main(shootdown::metal::guest::Cpu* cpu) {
  using namespace shootdown::metal::guest;
  init_cpu_interrupts();
  cpu->online.store(true, std::memory_order_release);
  for (;;) {
    wait_until([&] { return job_number.load(std::memory_order_acquire) != cpu->job_seen; });
    cpu->job_seen = job_number.load(std::memory_order_acquire);
    job_function(job_argument);
    finish_job();
  }
}
