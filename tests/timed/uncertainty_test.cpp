// SPDX-License-Identifier: MIT
// Strategy: known generator outputs, distributions against their moments, the same figures for the same seed.
#include "machine/timed/uncertainty.hpp"

#include <gtest/gtest.h>

#include "machine/timed/profile_toml.hpp"
#include "machine/timed/random.hpp"

namespace shootdown::timed {
namespace {

TEST(Random, IsXoshiro256StarStarSeededBySplitmix) {
  // splitmix64 of seed 0 begins with e220a8397b1dcdaf (the algorithm's published test vector).
  Random random(0);
  EXPECT_EQ(random.next(), 0x99ec5f36cb75f2b4u);
  EXPECT_EQ(random.next(), 0xbf6e1f784956452au);
}

TEST(Random, UniformStaysInside) {
  Random random(42);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double u = random.uniform();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
}

Profile two_figures() {
  Profile p = *load_profile("arm64-server");
  for (Figure& f : p.figures) f.low = f.high = f.value;
  p[Param::isb] = {10, 0, 20, Status::guess, ""};
  p[Param::barrier_idle] = {10, 9, 11, Status::guess, ""};
  return p;
}

Nanoseconds sum_of_two(const ParamValues& v) { return v.time(Param::isb) + v.time(Param::barrier_idle); }

Percentiles<Nanoseconds> sampled(const Profile& profile, const Sampling& sampling) {
  std::vector<Nanoseconds> results;
  for_each_sample(profile, sampling, [&](const ParamValues& v) { results.push_back(sum_of_two(v)); });
  return percentiles(results);
}

TEST(Uncertainty, TheWiderFigureDominates) {
  const Dominant d = find_dominant(two_figures(), sum_of_two);
  EXPECT_EQ(d.param, Param::isb);
  EXPECT_EQ(d.low, Nanoseconds(10));
  EXPECT_EQ(d.high, Nanoseconds(30));
}

TEST(Uncertainty, PercentilesAreThoseOfTheSum) {
  const Percentiles<Nanoseconds> u = sampled(two_figures(), {7, 4000});
  EXPECT_NEAR(u.median.value, 20, 0.5);
  // A symmetric triangle over [0, 20] has its 5th percentile at 20 sqrt(0.05 / 2).
  EXPECT_NEAR(u.low.value, 10 + 3.16, 0.5);
  EXPECT_NEAR(u.high.value, 10 + 16.84, 0.5);
}

TEST(Uncertainty, TheSameSeedGivesTheSameBits) {
  const Percentiles<Nanoseconds> a = sampled(two_figures(), {7, 500});
  const Percentiles<Nanoseconds> b = sampled(two_figures(), {7, 500});
  const Percentiles<Nanoseconds> other = sampled(two_figures(), {8, 500});
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
  EXPECT_NE(a.low, other.low);
}

TEST(Uncertainty, WithoutSamplesEachFigureIsAtItsMedian) {
  const Percentiles<Nanoseconds> u = sampled(two_figures(), {7, 0});
  EXPECT_EQ(u.low, Nanoseconds(20));
  EXPECT_EQ(u.median, Nanoseconds(20));
  EXPECT_EQ(u.high, Nanoseconds(20));
}

/// What made an estimate the best case: a range operation is never cheaper than one by address.
TEST(Uncertainty, AFigureWhoseValueIsAnEndOfItsRangeHasItsMedianInside) {
  Profile p = two_figures();
  p[Param::isb] = {10, 10, 20, Status::guess, ""};
  EXPECT_NEAR(medians(p)[Param::isb], 20 - 10 / 1.41421356, 1e-6);
  const Percentiles<Nanoseconds> u = sampled(p, {7, 4000});
  EXPECT_GT(u.low.value, 20.1);
  EXPECT_NEAR(u.median.value, 10 + medians(p)[Param::isb], 0.2);
}

TEST(Uncertainty, TheMedianLiesInsideWhateverTheNumberOfSamples) {
  for (unsigned samples = 0; samples < 50; ++samples) {
    const Percentiles<Nanoseconds> u = sampled(two_figures(), {samples, samples});
    EXPECT_LE(u.low, u.median);
    EXPECT_LE(u.median, u.high);
  }
}

}  // namespace
}  // namespace shootdown::timed
