// SPDX-License-Identifier: MIT
// One hash for the model, the explorer and replay tokens: XXH3.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace shootdown::model {

inline std::uint64_t hash_words(std::span<const std::uint64_t> words) {
  return XXH3_64bits(words.data(), words.size_bytes());
}

inline std::uint64_t hash_text(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

}  // namespace shootdown::model
