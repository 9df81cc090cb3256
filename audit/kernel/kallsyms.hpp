// SPDX-License-Identifier: MIT
// Symbols out of the kernel image itself: the compressed table that every kernel carries for its own splats
// (CONFIG_KALLSYMS). No debug package and no boot is needed; addresses are those of a boot with `nokaslr`.
#pragma once

#include "audit/kernel/image.hpp"
#include "audit/kernel/symbols.hpp"

namespace shootdown::audit {

/// What the table says, and where the image is linked.
struct Kallsyms {
  SymbolTable symbols;     ///< functions only
  std::uint64_t base = 0;  ///< the virtual address of the image's first byte (_text)
};

/// Errors: `bad_data` when the image carries no table: give --vmlinux or --system-map instead.
Expected<Kallsyms> read_kallsyms(const KernelImage& image);

}  // namespace shootdown::audit
