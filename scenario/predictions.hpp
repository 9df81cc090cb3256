// SPDX-License-Identifier: MIT
// Public measurements beside what a profile says about the same case. A figure of a profile that was chosen to meet one
// makes it fitted; all others are predictions, and those that miss stay in the list.
#pragma once

#include <string_view>
#include <vector>

#include "machine/timed/uncertainty.hpp"

namespace shootdown::scenario {

struct Prediction {
  std::string_view name;
  std::string_view what;
  std::string_view source;
  std::string_view profile;
  unsigned cpus;
  std::string_view unit;
  double published_low;  ///< as posted; both the same where one figure was
  double published_high;
  std::string_view fitted;  ///< the figures that were chosen to meet it; empty for a prediction
  std::string_view remark;  ///< what the comparison assumes, or why it misses
  double ours = 0;          ///< median
  double ours_low = 0;      ///< 5th percentile
  double ours_high = 0;     ///< 95th

  /// The published figure, or some of its range, is one that we hold possible.
  bool inside() const { return published_low <= ours_high && published_high >= ours_low; }
};

std::vector<Prediction> predictions(const timed::Sampling& sampling);

}  // namespace shootdown::scenario
