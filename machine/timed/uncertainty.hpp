// SPDX-License-Identifier: MIT
// From the ranges of the figures to the range of a result: seeded sampling, and which figure matters most.
#pragma once

#include <cstdint>
#include <functional>

#include "machine/timed/profile.hpp"

namespace shootdown::timed {

struct Uncertainty {
  Nanoseconds low;            ///< 5th percentile over the samples
  Nanoseconds high;           ///< 95th
  Param dominant{};           ///< the figure whose own range alone moves the result most
  Nanoseconds dominant_low;   ///< the result with this figure at one end of its range
  Nanoseconds dominant_high;  ///< and at the other; all others central
};

struct Sampling {
  std::uint64_t seed = 1;
  unsigned samples = 1000;
};

/// Draws each figure from a triangle over its range with the peak at its value, independently, and evaluates.
/// Only + - * / and sqrt are used: the same seed gives the same figures on any machine.
Uncertainty sample(const Profile& profile, const Sampling& sampling,
                   const std::function<Nanoseconds(const ParamValues&)>& evaluate);

}  // namespace shootdown::timed
