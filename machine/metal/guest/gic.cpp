// SPDX-License-Identifier: MIT
// GICv3 bring-up (IHI 0069): affinity routing, group 1, one redistributor frame pair a CPU.
#include "machine/metal/guest/gic.hpp"

#include "machine/metal/guest/arch.hpp"
#include "machine/metal/guest/console.hpp"

namespace shootdown::metal::guest {

namespace {

// Distributor.
constexpr std::uint64_t gicd_ctlr = 0x0000;
constexpr std::uint32_t gicd_ctlr_rwp = 1u << 31;
constexpr std::uint32_t gicd_ctlr_are_and_group1 = 1u << 4 | 1u << 1;
// Redistributor, RD_base frame and, 64 KiB on, SGI_base frame.
constexpr std::uint64_t gicr_typer = 0x0008;
constexpr std::uint64_t gicr_waker = 0x0014;
constexpr std::uint64_t sgi_base = 0x10000;
constexpr std::uint64_t gicr_igroupr0 = sgi_base + 0x0080;
constexpr std::uint64_t gicr_isenabler0 = sgi_base + 0x0100;
constexpr std::uint64_t gicr_ipriorityr = sgi_base + 0x0400;
constexpr std::uint32_t typer_vlpis = 1u << 1;
constexpr std::uint32_t typer_last = 1u << 4;

constexpr unsigned timer_interrupt = 27;  // the virtual timer's PPI
constexpr unsigned wake_sgi = 0;
constexpr unsigned first_spurious = 1020;

const Platform* machine = nullptr;

// SAFETY: both are given addresses inside regions that the device tree names and the identity map maps as
// Device memory; the registers used are 32 bits wide, or may be read in halves.
std::uint32_t read32(std::uint64_t address) { return *reinterpret_cast<volatile std::uint32_t*>(address); }
void write32(std::uint64_t address, std::uint32_t v) {
  *reinterpret_cast<volatile std::uint32_t*>(address) = v;
}

/// Waits for hardware, which answers within a second or never.
template <typename Ready>
void expect_soon(Ready&& ready, const char* what) {
  const std::uint64_t deadline = read_counter() + read_counter_frequency();
  while (!ready())
    if (read_counter() > deadline) panic(what);
}

/// Affinity as GICR_TYPER has it in its upper half.
std::uint32_t packed_affinity(std::uint64_t mpidr) {
  return static_cast<std::uint32_t>((mpidr & 0xffffff) | (mpidr >> 32 & 0xff) << 24);
}

std::uint64_t find_redistributor() {
  const std::uint32_t self = packed_affinity(read_mpidr());
  for (unsigned i = 0; i < machine->redistributor_count; ++i) {
    const PhysicalRegion region = machine->redistributors[i];
    for (std::uint64_t at = region.base; at - region.base + 0x20000 <= region.size;) {
      const std::uint32_t typer = read32(at + gicr_typer);
      if (read32(at + gicr_typer + 4) == self) return at;
      if (typer & typer_last) break;
      at += typer & typer_vlpis ? 0x40000 : 0x20000;
    }
  }
  panic("a CPU has no GICv3 redistributor");
}

}  // namespace

const char* check_interrupt_controller(const Platform& platform) {
  if (platform.distributor.size < 0x10000 || platform.redistributor_count == 0)
    return "the device tree names no GICv3";
  if ((read_pfr0() >> 24 & 0xf) == 0) return "the CPU has no GICv3 system registers";
  return nullptr;
}

void init_distributor(const Platform& platform) {
  machine = &platform;
  const std::uint64_t ctlr = platform.distributor.base + gicd_ctlr;
  write32(ctlr, gicd_ctlr_are_and_group1);
  expect_soon([&] { return (read32(ctlr) & gicd_ctlr_rwp) == 0; }, "the GICv3 distributor does not answer");
}

void init_cpu_interrupts() {
  const std::uint64_t rd = find_redistributor();
  write32(rd + gicr_waker, read32(rd + gicr_waker) & ~2u);  // ProcessorSleep
  expect_soon([&] { return (read32(rd + gicr_waker) & 4u) == 0; }, "a GICv3 redistributor does not wake up");
  write32(rd + gicr_igroupr0, ~0u);
  for (unsigned i = 0; i < 32; i += 4) write32(rd + gicr_ipriorityr + i, 0xa0a0a0a0);
  write32(rd + gicr_isenabler0, 1u << wake_sgi | 1u << timer_interrupt);
  write_icc_sre(read_icc_sre() | 1);
  isb();
  write_icc_pmr(0xf0);  // let every priority through
  write_icc_igrpen1(1);
  isb();
}

void send_sgi_to_others() {
  write_icc_sgi1r(std::uint64_t{1} << 40 | std::uint64_t{wake_sgi} << 24);  // IRM: all but self
  isb();
}

void send_sgi_to(std::uint64_t mpidr) {
  const std::uint64_t aff0 = mpidr & 0xff;
  const std::uint64_t target = std::uint64_t{1} << (aff0 & 15) | aff0 >> 4 << 44 | (mpidr >> 8 & 0xff) << 16 |
                               (mpidr >> 16 & 0xff) << 32 | (mpidr >> 32 & 0xff) << 48;
  write_icc_sgi1r(target | std::uint64_t{wake_sgi} << 24);
  isb();
}

void start_timer(std::uint64_t ticks) {
  write_timer_value(ticks);
  write_timer_control(1);
  isb();
}

}  // namespace shootdown::metal::guest

/// vectors.S: an interrupt of this CPU. SGIs only wake: the waiting CPU looks at memory itself.
extern "C" void metal_interrupt() {
  using namespace shootdown::metal::guest;
  const std::uint64_t id = read_icc_iar1() & 0xffffff;
  if (id >= first_spurious) return;
  if (id == timer_interrupt) {
    write_timer_control(0);
    isb();
  }
  write_icc_eoir1(id);
  isb();
}
