// SPDX-License-Identifier: MIT
// An uncompressed arm64 kernel Image: its header checked, its bytes at hand. Symbols: kallsyms.hpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "audit/error.hpp"

namespace shootdown::audit {

/// The 64-byte header is described in the kernel's Documentation/arch/arm64/booting.rst.
struct KernelImage {
  std::vector<std::uint8_t> bytes;
  std::uint64_t text_offset = 0;   ///< from the 2 MiB aligned base where it must be loaded
  std::uint64_t memory_bytes = 0;  ///< needed at run time, .bss included
  unsigned page_shift = 12;        ///< 12, 14, 16; 12 too when the header does not say

  std::uint32_t instruction(std::uint64_t offset) const;
};

/// Errors: `missing_input`, or `bad_data` when it is no arm64 Image (the message says what it looks like).
Expected<KernelImage> load_image(const std::filesystem::path& path);
/// The same from memory; `name` is for the message.
Expected<KernelImage> parse_image(std::vector<std::uint8_t> bytes, std::string_view name);

}  // namespace shootdown::audit
