// SPDX-License-Identifier: MIT
#include "audit/qemu/initramfs.hpp"

#include <fstream>
#include <iterator>
#include <optional>

#include "audit/qemu/cpio.hpp"

namespace shootdown::audit {
namespace fs = std::filesystem;
namespace {

std::optional<std::string> contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string((std::istreambuf_iterator<char>(file)), {});
}

}  // namespace

Expected<std::string> build_initramfs(const GuestOptions& options) {
  CpioWriter cpio;
  for (const char* dir : {"dev", "proc", "sys", "tmp", "bin", "modules"}) cpio.directory(dir);
  cpio.device("dev/console", 5, 1);

  const auto program = contents(options.guest_program);
  if (!program)
    return fail(ExitCode::unavailable, "the guest's program {} was not built: it needs aarch64-linux-gnu-g++",
                options.guest_program.string());
  cpio.file("init", *program, true);

  std::error_code error;
  if (!options.kernel.modules_dir.empty()) {
    for (const auto& entry : fs::recursive_directory_iterator(options.kernel.modules_dir, error)) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with("virtio_mem.ko") && !name.starts_with("virtio_pci")) continue;
      if (const auto module = contents(entry.path())) cpio.file("modules/" + name, *module);
    }
  }
  if (options.workload == "user") {
    const auto workload = contents(options.user_program);
    if (!workload)
      return fail(ExitCode::missing_input, "cannot read the workload {}", options.user_program.string());
    cpio.file("workload", *workload, true);
    if (const auto busybox = contents(options.busybox)) {
      cpio.file("bin/busybox", *busybox, true);
      // Scripts name this one; the rest are made by the guest.
      cpio.file("bin/sh", *busybox, true);
    }
  }
  return cpio.finish();
}

}  // namespace shootdown::audit
