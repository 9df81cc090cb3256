// SPDX-License-Identifier: MIT
// Function symbols out of an ELF file: the vmlinux of a user's own build.
#pragma once

#include <filesystem>

#include "audit/kernel/symbols.hpp"

namespace shootdown::audit {

/// Errors: `missing_input`, `bad_data` when it is no AArch64 ELF file or has been stripped.
Expected<SymbolTable> read_elf_symbols(const std::filesystem::path& path);

}  // namespace shootdown::audit
