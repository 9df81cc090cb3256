// SPDX-License-Identifier: MIT
// The PL011, and the two ways in which a run ends.
#include "machine/metal/guest/console.hpp"

#include "machine/metal/guest/arch.hpp"
#include "machine/metal/guest/cpus.hpp"

namespace shootdown::metal::guest {

namespace {

constexpr std::uint64_t data_register = 0x00;
constexpr std::uint64_t flag_register = 0x18;
constexpr std::uint32_t transmit_fifo_full = 1u << 5;

std::uint64_t pl011 = 0x09000000;
bool conduit_is_smc = false;
SpinLock console_lock;

// SAFETY: `pl011` is a device that the identity map maps as such; 32-bit accesses are what it takes.
std::uint32_t read_register(std::uint64_t offset) {
  return *reinterpret_cast<volatile std::uint32_t*>(pl011 + offset);
}
void write_register(std::uint64_t offset, std::uint32_t v) {
  *reinterpret_cast<volatile std::uint32_t*>(pl011 + offset) = v;
}

}  // namespace

void set_console(std::uint64_t base) { pl011 = base; }
void set_psci_conduit(bool smc) { conduit_is_smc = smc; }

void write_console(const char* text, std::size_t size) {
  // Exclusives need caches; before that there is one CPU only.
  const bool locks = cpus_share_memory();
  if (locks) console_lock.lock();
  for (std::size_t i = 0; i < size; ++i) {
    while (read_register(flag_register) & transmit_fifo_full) {
    }
    write_register(data_register, static_cast<unsigned char>(text[i]));
  }
  if (locks) console_lock.unlock();
}

void panic(const char* what) {
  Line("panic").text("what", what).write();
  power_off();
}

void power_off() {
  psci::call(conduit_is_smc, psci::system_off);
  for (;;) wait_for_interrupt();
}

}  // namespace shootdown::metal::guest
