// SPDX-License-Identifier: MIT
// From the ranges of the figures to the range of a result: seeded samples, their percentiles, and which figure matters
// most. An estimate and its interval come from here together, so that one is always inside the other.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <functional>
#include <vector>

#include "machine/timed/profile.hpp"

namespace shootdown::timed {

struct Sampling {
  std::uint64_t seed = 1;
  unsigned samples = 1000;
};

/// Every figure at the median of its own distribution. Its value is the mode, the likeliest single one; where that is
/// an end of the range (a range operation is never cheaper than one by address) it is the best case, not the middle.
ParamValues medians(const Profile& profile);

/// Draws each figure from a triangle over its range with the peak at its value, independently, and hands the draw to
/// `use`, once for each sample; without samples once, with all figures at their medians.
/// Only + - * / and sqrt are used: the same seed gives the same figures on any machine.
void for_each_sample(const Profile& profile, const Sampling& sampling,
                     const std::function<void(const ParamValues&)>& use);

/// Of results that were collected sample by sample; low <= median <= high whatever they are.
template <typename T>
struct Percentiles {
  T low;     ///< 5th
  T median;  ///< 50th: the estimate
  T high;    ///< 95th
};
template <typename T>
Percentiles<T> percentiles(std::vector<T> results) {
  assert(!results.empty());
  std::sort(results.begin(), results.end());
  const std::size_t last = results.size() - 1;
  return {results[last * 5 / 100], results[last / 2], results[last - last * 5 / 100]};
}

/// The figure whose own range alone moves a result most.
struct Dominant {
  Param param{};
  Nanoseconds low;   ///< the result with this figure at one end of its range, all others at their medians
  Nanoseconds high;  ///< and at the other
};
Dominant find_dominant(const Profile& profile,
                       const std::function<Nanoseconds(const ParamValues&)>& evaluate);

}  // namespace shootdown::timed
