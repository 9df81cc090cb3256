// SPDX-License-Identifier: MIT
// One hash for the model and the explorer: XXH3 over 64-bit words.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace shootdown::model {

inline std::uint64_t hash_words(std::span<const std::uint64_t> words) {
  return XXH3_64bits(words.data(), words.size_bytes());
}

}  // namespace shootdown::model
