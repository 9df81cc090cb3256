// SPDX-License-Identifier: MIT
#include "audit/qemu/cpio.hpp"

#include <fmt/format.h>

#include <iterator>
#include <utility>

namespace shootdown::audit {

// Thirteen fields of eight hexadecimal digits after the magic; name and contents are each padded to 4 bytes.
void CpioWriter::add(std::string_view path, unsigned mode, std::string_view contents, unsigned device) {
  fmt::format_to(std::back_inserter(archive_),
                 "070701{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}",
                 ++inode_, mode, 0, 0, 1, 0, contents.size(), 0, 0, device >> 8, device & 0xff,
                 path.size() + 1, 0);
  archive_.append(path).push_back('\0');
  archive_.resize((archive_.size() + 3) & ~std::size_t{3});
  archive_.append(contents);
  archive_.resize((archive_.size() + 3) & ~std::size_t{3});
}

std::string CpioWriter::finish() {
  add("TRAILER!!!", 0, {}, 0);
  inode_ = 0;
  return std::exchange(archive_, {});
}

}  // namespace shootdown::audit
