// SPDX-License-Identifier: MIT
// A kernel's symbols against what an audit needs to find in it: where the watched functions are, which of them it will
// not see, which functions do TLB maintenance at all, and whether the symbols are this image's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "audit/kernel/image.hpp"
#include "audit/kernel/symbols.hpp"

namespace shootdown::audit {

struct WatchedPlaces {
  struct Place {
    std::uint64_t address = 0;
    std::string name;  ///< as in watched_functions, whatever the compiler has appended
  };
  std::vector<Place> places;
  std::vector<std::string> blind_spots;  ///< of this kernel, a line each
};

/// Errors: `bad_data` when a function is missing without which nothing could be judged.
Expected<WatchedPlaces> watched_places(const SymbolTable& symbols);

/// The functions that issue a TLBI of EL1, by name; `base` is where the image is linked.
std::vector<std::string> maintenance_functions(const KernelImage& image, std::uint64_t base,
                                               const SymbolTable& symbols);

/// Errors: `bad_data` when the symbols are those of another kernel: of a function that the image's own table has
/// elsewhere, or, where it has none, by the image's size. `name` is for the message.
Expected<void> check_symbols_of(const SymbolTable& symbols, const KernelImage& image, std::string_view name);

}  // namespace shootdown::audit
