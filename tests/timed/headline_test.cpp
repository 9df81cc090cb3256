// SPDX-License-Identifier: MIT
// Strategy: on every profile, with every strategy, load and page size, the estimate that is printed lies inside the
// interval that is printed beside it, and its parts add up to it; with a thousand samples or with one.
#include <gtest/gtest.h>

#include "machine/timed/profile_toml.hpp"
#include "scenario/timed_hot_remove.hpp"

namespace shootdown::scenario {
namespace {

using timed::Profile;

HotRemoveSpec spec_of(const mm::Strategy& strategy, const Profile& profile, unsigned page_shift) {
  HotRemoveSpec spec{};
  spec.regime = vmsa::regime(page_shift, page_shift == 14 ? 47 : 48);
  spec.strategy = strategy;
  spec.mapping = mm::mappings[0];
  spec.memory = timed::Bytes(std::uint64_t{1} << 30);
  spec.range_tlbi = profile.range_tlbi;
  spec.repeat_tlbi = true;
  return spec;
}

void expect_inside(const report::TimeResult& r) {
  SCOPED_TRACE(r.profile + " " + r.strategy + " " + r.load + " " + std::to_string(r.page_shift));
  EXPECT_LE(r.low, r.simulated);
  EXPECT_LE(r.simulated, r.high);
  EXPECT_NEAR(r.breakdown.total().value, r.simulated.value, 1e-6 * r.simulated.value);
  EXPECT_LE(r.longest_stretch.value, 1.000001 * r.simulated.value);
}

TEST(Headline, LiesInsideItsInterval) {
  for (const timed::BuiltinProfile& b : timed::builtin_profiles()) {
    const Profile profile = *timed::load_profile(b.name);
    for (unsigned page_shift : {12u, 14u, 16u})
      for (const mm::Strategy& strategy : mm::strategies) {
        const HotRemoveSpec spec = spec_of(strategy, profile, page_shift);
        const HotRemoveRun run = run_hot_remove(spec, timed::Prices(profile.central(), {1, 1}));
        for (std::size_t load = 0; load < timed::loads.size(); ++load)
          for (unsigned samples : {0u, 1u, 2u, 200u})
            expect_inside(price_hot_remove(
                spec, run, {profile, profile.cpus, static_cast<timed::Load>(load), {1, samples}}));
      }
  }
}

/// The extreme of a user's own: every figure's value is the best that its range has.
TEST(Headline, OfAProfileOfBestCasesIsNoBestCase) {
  Profile profile = *timed::load_profile("arm64-server");
  for (timed::Figure& f : profile.figures) f.value = f.low;
  for (const mm::Strategy& strategy : mm::strategies) {
    const HotRemoveSpec spec = spec_of(strategy, profile, 12);
    const HotRemoveRun run = run_hot_remove(spec, timed::Prices(profile.central(), {1, 1}));
    const report::TimeResult r =
        price_hot_remove(spec, run, {profile, profile.cpus, timed::Load::compute, {}});
    expect_inside(r);
    const timed::Prices best(profile.central(), {profile.cpus, 1});
    EXPECT_GT(r.low, best.total(run.removal)) << strategy.name;
  }
}

/// What docs/cost.md calls fitted: 60 s and about 1 s for 480 GB, here for a tenth of it.
TEST(Headline, TheFitsHold) {
  const Profile profile = *timed::load_profile("neoverse-v2-72");
  const auto seconds = [&](const mm::Strategy& strategy) {
    HotRemoveSpec spec = spec_of(strategy, profile, 12);
    spec.memory = timed::Bytes(std::uint64_t{48} << 30);
    spec.repeat_tlbi = false;
    const HotRemoveRun run = run_hot_remove(spec, timed::Prices(profile.central(), {72, 1}));
    return price_hot_remove(spec, run, {profile, 72, timed::Load::compute, {}}).simulated.value * 1e-9;
  };
  EXPECT_NEAR(seconds(mm::strategies[0]), 6.0, 0.06);  // P
  EXPECT_NEAR(seconds(mm::strategies[1]), 0.1, 0.01);  // R0
}

}  // namespace
}  // namespace shootdown::scenario
