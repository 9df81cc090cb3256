// SPDX-License-Identifier: MIT
// Writes an initramfs: the "newc" cpio format of the kernel's Documentation/driver-api/early-userspace.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shootdown::audit {

class CpioWriter {
 public:
  void directory(std::string_view path) { add(path, 0040755, {}, 0); }
  void file(std::string_view path, std::string_view contents, bool executable = false) {
    add(path, executable ? 0100755 : 0100644, contents, 0);
  }
  /// A character device, such as the console (5, 1) that the kernel opens for the first program.
  void device(std::string_view path, unsigned major, unsigned minor) {
    add(path, 0020600, {}, major << 8 | minor);
  }
  /// The archive with its trailer; the writer is empty afterwards.
  std::string finish();

 private:
  void add(std::string_view path, unsigned mode, std::string_view contents, unsigned device);
  std::string archive_;
  unsigned inode_ = 0;
};

}  // namespace shootdown::audit
