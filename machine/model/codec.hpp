// SPDX-License-Identifier: MIT
// A World as words and back: four parts that change at different times, so that equal parts are stored once.
#pragma once

#include <span>
#include <vector>

#include "machine/model/world.hpp"

namespace shootdown::model {

using Words = std::vector<std::uint64_t>;

/// Memory, shadow, queues (write buffers, deferred lists), owners (pages, locks, memblock).
struct EncodedWorld {
  Words memory;
  Words shadow;
  Words queues;
  Words owners;
};

EncodedWorld encode_world(const World& w);

/// `like` gives what never changes: the set of pages, the regime, the number of CPUs.
struct EncodedView {
  std::span<const std::uint64_t> memory;
  std::span<const std::uint64_t> shadow;
  std::span<const std::uint64_t> queues;
  std::span<const std::uint64_t> owners;
};
World decode_world(const EncodedView& e, const World& like);

}  // namespace shootdown::model
