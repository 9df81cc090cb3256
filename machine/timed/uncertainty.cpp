// SPDX-License-Identifier: MIT
// Monte Carlo over the figures, and one figure at a time.
#include "machine/timed/uncertainty.hpp"

#include <cmath>

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

}  // namespace

ParamValues medians(const Profile& profile) {
  ParamValues values;
  for (const ParamInfo& p : param_infos) values[p.param] = triangle(profile[p.param], 0.5);
  return values;
}

void for_each_sample(const Profile& profile, const Sampling& sampling,
                     const std::function<void(const ParamValues&)>& use) {
  if (sampling.samples == 0) return use(medians(profile));
  Random random(sampling.seed);
  for (unsigned i = 0; i < sampling.samples; ++i) {
    ParamValues values;
    for (const ParamInfo& p : param_infos) values[p.param] = triangle(profile[p.param], random.uniform());
    use(values);
  }
}

Dominant find_dominant(const Profile& profile,
                       const std::function<Nanoseconds(const ParamValues&)>& evaluate) {
  Dominant out;
  double widest = -1;
  for (const ParamInfo& p : param_infos) {
    ParamValues values = medians(profile);
    values[p.param] = profile[p.param].low;
    const Nanoseconds low = evaluate(values);
    values[p.param] = profile[p.param].high;
    const Nanoseconds high = evaluate(values);
    const double swing = std::abs((high - low).value);
    if (swing <= widest) continue;
    widest = swing;
    out = {p.param, min(low, high), max(low, high)};
  }
  return out;
}

}  // namespace shootdown::timed
