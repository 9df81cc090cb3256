// SPDX-License-Identifier: MIT
// Memory hot-add and hot-remove through virtio-mem: the host plugs and unplugs on request, the guest says when
// each is over. The window is from the request to the range leaving /proc/iomem: the memory's sysfs node goes
// before arch_remove_memory() has returned.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdlib>

#include "audit/guest/support.hpp"

namespace shootdown::guest {
namespace {

constexpr int module_init_compressed_file = 4;
constexpr unsigned poll_us = 20'000;
constexpr unsigned long patience_us = 600'000'000;

void load_module(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;  // built in, or absent: what follows will tell
  const std::string name = path;
  const int flags =
      name.size() > 3 && name.substr(name.size() - 3) == ".xz" ? module_init_compressed_file : 0;
  if (syscall(SYS_finit_module, fd, "", flags) != 0) die("cannot load %s", path);
  close(fd);
}

/// Bytes of RAM that the virtio-mem device has added to the memory map.
std::uint64_t plugged_bytes() {
  std::uint64_t total = 0;
  const std::string map = read_file("/proc/iomem");
  for (std::size_t at = 0; at < map.size();) {
    const std::size_t end = map.find('\n', at);
    const std::string line = map.substr(at, end - at);
    at = end == std::string::npos ? map.size() : end + 1;
    if (line.find("System RAM (virtio_mem)") == std::string::npos) continue;
    char* rest = nullptr;
    const std::uint64_t first = std::strtoull(line.c_str(), &rest, 16);
    total += std::strtoull(rest + 1, nullptr, 16) - first + 1;
  }
  return total;
}

void wait_for(std::uint64_t bytes, const char* what) {
  for (unsigned long waited = 0; plugged_bytes() != bytes; waited += poll_us) {
    if (waited > patience_us) die("%s did not end: %" PRIu64 " bytes are plugged", what, plugged_bytes());
    usleep(poll_us);
  }
}

}  // namespace

void hot_unplug(std::size_t bytes) {
  // Before 6.12 Debian's virtio-pci is a module too.
  for (const char* name : {"virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_mem"})
    for (const char* suffix : {".ko", ".ko.xz"})
      load_module((std::string("/modules/") + name + suffix).c_str());
  if (access("/sys/bus/virtio/drivers/virtio_mem", F_OK) != 0)
    die("the kernel has no virtio-mem driver, which the workload hot-unplug needs");
  if (access("/sys/bus/virtio/drivers/virtio_mem/virtio0", F_OK) != 0)
    die("the kernel's virtio-mem driver finds no device: virtio_pci.ko is missing beside virtio_mem.ko");
  if (!write_file("/sys/devices/system/memory/auto_online_blocks", "online_movable"))
    die("the kernel cannot hot-plug memory");
  say("plug %zu", bytes);
  wait_for(bytes, "plugging");
  usleep(200'000);  // let udev-less onlining settle, so that the window holds the removal alone

  window_begin();
  phase<0>();
  say("unplug");
  wait_for(0, "unplugging");
  window_end();
}

}  // namespace shootdown::guest
