// SPDX-License-Identifier: MIT
// Monte Carlo over the figures, and one figure at a time.
#include "machine/timed/uncertainty.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "machine/timed/random.hpp"

namespace shootdown::timed {

namespace {

/// The triangular distribution's quantile at u.
double triangle(const Figure& f, double u) {
  const double width = f.high - f.low;
  if (width <= 0) return f.value;
  const double peak = (f.value - f.low) / width;
  if (u < peak) return f.low + std::sqrt(u * width * (f.value - f.low));
  return f.high - std::sqrt((1 - u) * width * (f.high - f.value));
}

void find_dominant(const Profile& profile, const std::function<Nanoseconds(const ParamValues&)>& evaluate,
                   Uncertainty& out) {
  double widest = -1;
  for (const ParamInfo& p : param_infos) {
    ParamValues values = profile.central();
    values[p.param] = profile[p.param].low;
    const Nanoseconds low = evaluate(values);
    values[p.param] = profile[p.param].high;
    const Nanoseconds high = evaluate(values);
    const double swing = std::abs((high - low).value);
    if (swing <= widest) continue;
    widest = swing;
    out.dominant = p.param;
    out.dominant_low = min(low, high);
    out.dominant_high = max(low, high);
  }
}

}  // namespace

Uncertainty sample(const Profile& profile, const Sampling& sampling,
                   const std::function<Nanoseconds(const ParamValues&)>& evaluate) {
  Random random(sampling.seed);
  std::vector<Nanoseconds> results;
  results.reserve(sampling.samples);
  for (unsigned i = 0; i < sampling.samples; ++i) {
    ParamValues values;
    for (const ParamInfo& p : param_infos) values[p.param] = triangle(profile[p.param], random.uniform());
    results.push_back(evaluate(values));
  }
  Uncertainty out;
  if (results.empty()) {
    out.low = out.high = evaluate(profile.central());
  } else {
    std::sort(results.begin(), results.end());
    const std::size_t last = results.size() - 1;
    out.low = results[last * 5 / 100];
    out.high = results[last - last * 5 / 100];
  }
  find_dominant(profile, evaluate, out);
  return out;
}

}  // namespace shootdown::timed
