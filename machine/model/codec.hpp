// SPDX-License-Identifier: MIT
// A World as words and back, part by part, made from the list of its fields (world.hpp): what is listed is captured.
#pragma once

#include <span>
#include <vector>

#include "machine/model/world.hpp"

namespace shootdown::model {

using Words = std::vector<std::uint64_t>;

/// Replaces `out` by one part as words.
void encode(Part part, const World& w, Words& out);

/// Replaces one part of a world by what it was. The set of pages, the regime and the number of CPUs stay.
void decode(Part part, std::span<const std::uint64_t> words, World& w);

}  // namespace shootdown::model
