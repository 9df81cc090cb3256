// SPDX-License-Identifier: MIT
// Instructions that C++ has no words for: system registers, barriers, waiting, probes, PSCI. One line each,
// each with the reason why it is safe where it is used. What they are used for is elsewhere.
#pragma once

#include <cstdint>

#include "machine/machine.hpp"
#include "machine/metal/marks.hpp"

namespace shootdown::metal::guest {

// SAFETY: reading these registers has no side effect. `volatile`, because some of them change by themselves.
#define METAL_READ_REGISTER(function, name)  \
  inline std::uint64_t function() {          \
    std::uint64_t v;                         \
    asm volatile("mrs %0, " name : "=r"(v)); \
    return v;                                \
  }
// SAFETY: each writer is called by its owner (gic.cpp, cpus.cpp) with values that its comment explains; the
// memory clobber keeps the compiler from moving accesses across.
#define METAL_WRITE_REGISTER(function, name) \
  inline void function(std::uint64_t v) { asm volatile("msr " name ", %0" : : "r"(v) : "memory"); }

METAL_READ_REGISTER(read_mpidr, "mpidr_el1")
METAL_READ_REGISTER(read_mmfr0, "id_aa64mmfr0_el1")
METAL_READ_REGISTER(read_mmfr1, "id_aa64mmfr1_el1")
METAL_READ_REGISTER(read_mmfr2, "S3_0_C0_C7_2")  // ID_AA64MMFR2_EL1
METAL_READ_REGISTER(read_isar0, "id_aa64isar0_el1")
METAL_READ_REGISTER(read_pfr0, "id_aa64pfr0_el1")
METAL_READ_REGISTER(read_tpidr, "tpidr_el1")
METAL_WRITE_REGISTER(write_tpidr, "tpidr_el1")
METAL_READ_REGISTER(read_counter, "cntvct_el0")
METAL_READ_REGISTER(read_counter_frequency, "cntfrq_el0")
METAL_WRITE_REGISTER(write_timer_value, "cntv_tval_el0")
METAL_WRITE_REGISTER(write_timer_control, "cntv_ctl_el0")
METAL_READ_REGISTER(read_icc_sre, "S3_0_C12_C12_5")
METAL_WRITE_REGISTER(write_icc_sre, "S3_0_C12_C12_5")
METAL_WRITE_REGISTER(write_icc_pmr, "S3_0_C4_C6_0")
METAL_WRITE_REGISTER(write_icc_igrpen1, "S3_0_C12_C12_7")
METAL_WRITE_REGISTER(write_icc_sgi1r, "S3_0_C12_C11_5")
METAL_READ_REGISTER(read_icc_iar1, "S3_0_C12_C12_0")
METAL_WRITE_REGISTER(write_icc_eoir1, "S3_0_C12_C12_1")

#undef METAL_READ_REGISTER
#undef METAL_WRITE_REGISTER

// SAFETY (all barriers): they order and complete, they change nothing; the memory clobber makes the compiler
// keep its own accesses on the side where they were written.
inline void dsb_nshst() { asm volatile("dsb nshst" : : : "memory"); }
inline void dsb_nsh() { asm volatile("dsb nsh" : : : "memory"); }
inline void dsb_ishst() { asm volatile("dsb ishst" : : : "memory"); }
inline void dsb_ish() { asm volatile("dsb ish" : : : "memory"); }
inline void dmb_ish() { asm volatile("dmb ish" : : : "memory"); }
inline void dmb_ishst() { asm volatile("dmb ishst" : : : "memory"); }
inline void dmb_ishld() { asm volatile("dmb ishld" : : : "memory"); }
inline void dsb_sy() { asm volatile("dsb sy" : : : "memory"); }
inline void isb() { asm volatile("isb" : : : "memory"); }

// SAFETY: writes to the zero register. The memory clobber keeps the accesses of what is measured inside of it.
template <Mark M>
inline void mark() {
  asm volatile("movz xzr, #%c0" : : "i"(static_cast<unsigned>(M)) : "memory");
}

// SAFETY: masking interrupts of this CPU is always allowed; the vectors are set before they are unmasked.
inline void mask_interrupts() { asm volatile("msr daifset, #2" : : : "memory"); }
inline void unmask_interrupts() { asm volatile("msr daifclr, #2" : : : "memory"); }
// SAFETY: returns at the latest with the next interrupt, masked or not.
inline void wait_for_interrupt() { asm volatile("wfi" : : : "memory"); }

/// Waits, with interrupts going on, until `ready()` holds. Whoever makes it true sends this CPU an interrupt
/// afterwards: it is looked at with interrupts masked, so none can slip in between look and WFI.
template <typename Ready>
void wait_until(Ready&& ready) {
  for (;;) {
    mask_interrupts();
    const bool done = ready();
    if (!done) wait_for_interrupt();
    unmask_interrupts();
    isb();  // a pending interrupt is taken here
    if (done) return;
  }
}

/// Cleans and invalidates [start, end) to the point of coherency: what was written with caches off is what
/// accesses with caches on will find, and the reverse.
inline void clean_and_invalidate(std::uint64_t start, std::uint64_t end) {
  // SAFETY: cache maintenance by VA changes no contents; 16 bytes is the smallest line there can be, 64 the
  // one of every CPU that this is run on.
  for (std::uint64_t at = start & ~std::uint64_t{63}; at < end; at += 64)
    asm volatile("dc civac, %0" : : "r"(at) : "memory");
  dsb_sy();
}

extern "C" {
/// vectors.S. A load or store of 8 bytes that may fault; after a fault struct Cpu holds ESR and FAR.
struct ProbeResult {
  std::uint64_t value;
  std::uint64_t faulted;
};
ProbeResult probe_load(std::uint64_t va);
std::uint64_t probe_store(std::uint64_t va, std::uint64_t value);
}

namespace psci {

inline constexpr std::uint64_t system_off = 0x84000008;
inline constexpr std::uint64_t cpu_on = 0xc4000003;

inline std::int64_t call(bool smc, std::uint64_t function, std::uint64_t a1 = 0, std::uint64_t a2 = 0,
                         std::uint64_t a3 = 0) {
  register std::uint64_t x0 asm("x0") = function;
  register std::uint64_t x1 asm("x1") = a1;
  register std::uint64_t x2 asm("x2") = a2;
  register std::uint64_t x3 asm("x3") = a3;
  // SAFETY: the SMC calling convention: x0 to x3 are arguments and results, x4 to x17 may be lost.
  if (smc)
    asm volatile("smc #0"
                 : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
                 :
                 : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
                   "memory");
  else
    asm volatile("hvc #0"
                 : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
                 :
                 : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
                   "memory");
  return static_cast<std::int64_t>(x0);
}

}  // namespace psci

}  // namespace shootdown::metal::guest
