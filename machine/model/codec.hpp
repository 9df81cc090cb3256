// SPDX-License-Identifier: MIT
// A World as words and back: four parts that change at different times, so that equal parts are stored once.
#pragma once

#include <span>
#include <vector>

#include "machine/model/world.hpp"

namespace shootdown::model {

using Words = std::vector<std::uint64_t>;

/// Queues are write buffers, deferred lists and what awaits an ISB; owners are pages, locks and memblock.
enum class Part : std::uint8_t { memory, shadow, queues, owners };
inline constexpr std::array<Part, 4> parts{Part::memory, Part::shadow, Part::queues, Part::owners};

/// Replaces `out` by one part as words.
void encode(Part part, const World& w, Words& out);

/// Replaces one part of a world by what it was. The set of pages, the regime and the number of CPUs stay.
void decode(Part part, std::span<const std::uint64_t> words, World& w);

}  // namespace shootdown::model
