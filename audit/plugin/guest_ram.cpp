// SPDX-License-Identifier: MIT
#include "audit/plugin/guest_ram.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace shootdown::audit::plugin {

bool GuestRam::map(const char* path, std::uint64_t start, std::uint64_t bytes) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  void* memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED) return false;
  base_ = static_cast<const std::uint8_t*>(memory);
  start_ = start;
  bytes_ = bytes;
  return true;
}

std::optional<std::uint64_t> translate(const GuestRam& ram, const Translation& t, std::uint64_t va) {
  std::uint64_t table = t.root;
  for (vmsa::Level level = t.regime.root_level(); level <= vmsa::page_level; level = level.next()) {
    const vmsa::PhysAddr slot =
        vmsa::slot_address(t.regime, vmsa::PhysAddr(table), level, vmsa::VirtAddr(va));
    if (!ram.contains(slot.value)) return std::nullopt;
    const vmsa::Descriptor d{ram.word(slot.value)};
    if (d.is_leaf(level))
      return vmsa::output_address(t.regime, level, d).value + (va & (t.regime.span(level) - 1));
    if (!d.is_table(level)) return std::nullopt;
    table = vmsa::output_address(t.regime, level, d).value;
  }
  return std::nullopt;
}

}  // namespace shootdown::audit::plugin
