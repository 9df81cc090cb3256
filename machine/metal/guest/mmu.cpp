// SPDX-License-Identifier: MIT
// Building the identity map and turning translation on.
#include "machine/metal/guest/mmu.hpp"

#include "machine/metal/guest/arch.hpp"
#include "machine/metal/guest/console.hpp"
#include "vmsa/descriptor.hpp"

extern "C" {
/// What enable_mmu (boot.S) loads, in this order.
struct MmuRegisters {
  std::uint64_t mair, tcr, ttbr0, ttbr1, sctlr;
};
MmuRegisters metal_mmu_registers;
void enable_mmu(const MmuRegisters*);
extern char __image_start[], __image_end[];  // NOLINT: named by the linker script
}

namespace shootdown::metal::guest {

namespace {

using vmsa::Descriptor;
using vmsa::Level;
using vmsa::Regime;
using vmsa::VirtAddr;

/// What is written runs before the MMU is on: by physical address, no atomics, no unaligned accesses.
class IdentityMap {
 public:
  IdentityMap(const Regime& r, EarlyMemory& early) : r_(r), early_(early), root_(new_table()) {}

  PhysAddr root() const { return root_; }

  void add(PhysRange range, const vmsa::Attributes& attributes) {
    const std::uint64_t page = r_.page_size();
    for (PhysAddr pa = range.start.align_down(page); pa < range.end.align_up(page); pa += page)
      *slot(VirtAddr(pa.value)) = vmsa::make_leaf(r_, vmsa::page_level, pa, attributes).bits;
  }

 private:
  PhysAddr new_table() { return early_.take(r_.page_size(), r_.page_size()); }

  // SAFETY: tables come from early memory, which nobody else writes to, and every address is aligned.
  std::uint64_t* slot(VirtAddr va) {
    PhysAddr table = root_;
    for (Level level = r_.root_level();; level = level.next()) {
      auto* entry = reinterpret_cast<std::uint64_t*>(vmsa::slot_address(r_, table, level, va).value);
      if (level == vmsa::page_level) return entry;
      if (*entry == 0) *entry = vmsa::make_table(r_, new_table()).bits;
      table = vmsa::output_address(r_, level, Descriptor{*entry});
    }
  }

  Regime r_;
  EarlyMemory& early_;
  PhysAddr root_;
};

constexpr vmsa::Attributes normal_memory{.privileged_execute_never = false};
constexpr vmsa::Attributes device_memory{.memory_index = device_index,
                                         .shareability = vmsa::Shareability::none};

PhysRange region(const PhysicalRegion& r) { return {PhysAddr(r.base), PhysAddr(r.base + r.size)}; }

}  // namespace

PhysAddr EarlyMemory::take(std::uint64_t bytes, std::uint64_t alignment) {
  const PhysAddr at = next_.align_up(alignment);
  if (at > end_ || bytes > end_ - at) panic("boot memory is too small for the image's own tables");
  next_ = at + bytes;
  // SAFETY: [at, at + bytes) is nobody's until it is returned; alignments here are at least 8.
  for (std::uint64_t i = 0; i < bytes; i += 8) *reinterpret_cast<volatile std::uint64_t*>(at.value + i) = 0;
  return at;
}

IdRegisters read_id_registers() { return {read_mmfr0(), read_mmfr1(), read_mmfr2(), read_isar0()}; }

PhysAddr enable_translation(const IdRegisters& id, const Regime& kernel, const Platform& platform,
                            PhysRange memory, EarlyMemory& early) {
  const Regime identity = identity_regime(id, kernel);
  const PhysAddr kernel_root = early.take(kernel.page_size(), kernel.page_size());
  IdentityMap map(identity, early);
  map.add(memory, normal_memory);
  map.add({PhysAddr(platform.uart.base), PhysAddr(platform.uart.base + 0x1000)}, device_memory);
  map.add(region(platform.distributor), device_memory);
  for (unsigned i = 0; i < platform.redistributor_count; ++i)
    map.add(region(platform.redistributors[i]), device_memory);

  metal_mmu_registers = {.mair = mair_el1,
                         .tcr = tcr_el1(id, identity, kernel),
                         .ttbr0 = map.root().value,
                         .ttbr1 = kernel_root.value,
                         .sctlr = sctlr_el1_on};
  // Lines that anything loaded speculatively while we wrote around the caches must not be found later.
  clean_and_invalidate(reinterpret_cast<std::uint64_t>(__image_start), early.next().value);
  enable_mmu(&metal_mmu_registers);
  return kernel_root;
}

void clean_mmu_registers() {
  const auto at = reinterpret_cast<std::uint64_t>(&metal_mmu_registers);
  clean_and_invalidate(at, at + sizeof(MmuRegisters));
}

}  // namespace shootdown::metal::guest
