// SPDX-License-Identifier: MIT
// From the device tree to the first experiment: what was asked for, whether this machine can do it, MMU, CPUs.
// The experiment itself is hot_remove_run.hpp.
#include "machine/metal/guest/arch.hpp"
#include "machine/metal/guest/console.hpp"
#include "machine/metal/guest/cpus.hpp"
#include "machine/metal/guest/gic.hpp"
#include "machine/metal/guest/hot_remove_run.hpp"
#include "machine/metal/guest/mmu.hpp"
#include "machine/metal/guest/options.hpp"
#include "machine/metal/guest/platform.hpp"

extern "C" char __image_start[], __image_end[];  // NOLINT: named by the linker script

namespace shootdown::metal::guest {

namespace {

// No constructor runs at start: all of it is constant.
constinit Platform platform;
constinit Options options;
constinit Shared shared;

[[noreturn]] void refuse(const char* what) {
  Line("refused").text("what", what).write();
  power_off();
}

void read_what_is_asked(const unsigned char* device_tree) {
  const char* error = read_platform(device_tree, fdt::max_size, platform);
  if (platform.uart.size != 0) set_console(platform.uart.base);
  set_psci_conduit(platform.psci_smc);
  if (error != nullptr) refuse(error);
  if (platform.uart.size == 0) refuse("the device tree names no PL011 console");
  if (platform.bootargs_truncated) refuse("the boot arguments are too long");
  const OptionError wrong = parse_options(platform.bootargs.data(), options);
  if (wrong.expected != nullptr) {
    Line("refused").text("what", wrong.expected).text("word", wrong.word.text, wrong.word.size).write();
    power_off();
  }
  if (const char* why = check_interrupt_controller(platform)) refuse(why);
}

void check_cpu(const IdRegisters& id, const vmsa::Regime& regime) {
  const char* missing = missing_for(id, regime);
  if (missing == nullptr) return;
  Line("unsupported")
      .text("what", missing)
      .number("page_shift", regime.page_shift)
      .number("va_bits", regime.va_bits)
      .write();
  power_off();
}

/// Boot memory, from the image to the first byte that is plugged; its lower part may be the firmware's.
PhysRange boot_memory(const vmsa::Regime& regime) {
  const PhysAddr base(platform.memory.base);
  const PhysAddr image(reinterpret_cast<std::uint64_t>(__image_start));
  if (platform.memory.size < options.boot || platform.memory.size - options.boot < options.memory)
    refuse("the machine has less memory than sd.boot and sd.memory ask for");
  if (!base.is_aligned(regime.section_size())) refuse("memory does not begin at a section boundary");
  if (image < base || image - base > options.boot) refuse("the image does not lie in boot memory");
  return {base, base + options.boot};
}

void give_pages(const vmsa::Regime& regime, PhysRange boot, EarlyMemory& early) {
  const std::uint64_t count = boot.size() >> regime.page_shift;
  const PhysAddr array = early.take(count * sizeof(Page), alignof(std::max_align_t));
  // SAFETY: `take` returned zeroed memory of this size that is nobody else's.
  shared.pages.init(reinterpret_cast<Page*>(array.value), boot.start, static_cast<std::uint32_t>(count),
                    regime.page_shift);
  shared.pages.add({early.next().align_up(regime.page_size()), boot.end});
}

void report_start(const machine::Features& cpu) {
  Line("start")
      .number("version", 1)
      .number("page_shift", options.page_shift)
      .number("va_bits", options.va_bits)
      .number("cpus", cpu_count())
      .number("memory_bytes", options.memory)
      .number("boot_base", platform.memory.base)
      .number("counter_hz", read_counter_frequency())
      .boolean("range_tlbi", cpu.range_tlbi)
      .boolean("hardware_access_flag", cpu.hardware_access_flag)
      .number("bbm_level", static_cast<unsigned>(cpu.bbm))
      .write();
}

void run() {
  const mm::MemoryMap map{vmsa::layout(shared.regime, options.layout),
                          PhysAddr(platform.memory.base).align_down(std::uint64_t{1} << 30)};
  const PhysRange boot{PhysAddr(platform.memory.base), PhysAddr(platform.memory.base + options.boot)};
  if (!run_hot_remove_4k(shared, options, map, boot) && !run_hot_remove_16k(shared, options, map, boot) &&
      !run_hot_remove_64k(shared, options, map, boot))
    panic("a regime that was checked has no code");
}

}  // namespace

}  // namespace shootdown::metal::guest

/// boot.S: the first C++ of CPU 0, with MMU and caches off.
extern "C" [[noreturn]] void metal_main(const unsigned char* device_tree) {
  using namespace shootdown::metal::guest;
  read_what_is_asked(device_tree);
  const Regime regime = shootdown::vmsa::regime(options.page_shift, options.va_bits);
  const IdRegisters id = read_id_registers();
  check_cpu(id, regime);

  init_boot_cpu(platform);
  const PhysRange boot = boot_memory(regime);
  EarlyMemory early(PhysAddr(reinterpret_cast<std::uint64_t>(__image_end)), boot.end);
  const PhysAddr root = enable_translation(id, regime, platform, boot, early);
  memory_is_shared();

  shared.regime = regime;
  shared.kernel_root = root;
  shared.features = features(id);
  shared.features.range_tlbi = shared.features.range_tlbi && options.range_tlbi;
  shared.features.repeat_tlbi = options.repeat_tlbi;
  shared.vmemmap_pages = options.vmemmap_pages;
  give_pages(regime, boot, early);
  init_distributor(platform);
  init_cpu_interrupts();
  start_secondaries(platform);
  unmask_interrupts();
  report_start(shared.features);
  run();
  Line("end").number("sgi_sent", sgi_count()).write();
  power_off();
}

/// vectors.S: an exception that no probe caused.
extern "C" [[noreturn]] void metal_unexpected(std::uint64_t vector, std::uint64_t esr, std::uint64_t elr,
                                              std::uint64_t far) {
  using namespace shootdown::metal::guest;
  // Addresses in the image are as the linker saw them.
  Line("exception")
      .number("vector", vector)
      .hex("esr", esr)
      .hex("elr", elr - reinterpret_cast<std::uint64_t>(__image_start))
      .hex("far", far)
      .write();
  power_off();
}
