// SPDX-License-Identifier: MIT
// Strategy: the counts of a timed run must be those that arithmetic alone gives (scenario/expected_counts.hpp never
// calls mm/), for every regime, strategy, mapping and feature, at small sizes; and the figures of the posts at theirs.
#include <gtest/gtest.h>

#include "machine/timed/profile_toml.hpp"
#include "scenario/expected_counts.hpp"
#include "scenario/timed_hot_remove.hpp"

namespace shootdown {
namespace {

using scenario::HotRemoveRun;
using scenario::HotRemoveSpec;
using timed::Bytes;
using vmsa::PhysAddr;
using vmsa::PhysRange;

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

HotRemoveRun run(const HotRemoveSpec& spec) {
  static const timed::Profile profile = *timed::load_profile("arm64-server");
  return scenario::run_hot_remove(spec, timed::Prices(profile.central(), {1, 1}));
}

HotRemoveSpec spec_of(const vmsa::Regime& r, const char* strategy, std::uint64_t memory,
                      unsigned mapping = 0) {
  HotRemoveSpec spec{};
  spec.regime = r;
  spec.mapping = mm::mappings[mapping];
  spec.memory = Bytes(memory);
  for (const mm::Strategy& s : mm::strategies)
    if (std::string_view(s.name) == strategy) spec.strategy = s;
  return spec;
}

scenario::RemovalCase case_of(const HotRemoveSpec& spec, PhysRange range, std::vector<PhysRange> neighbours) {
  return {.regime = spec.regime,
          .range = range,
          .strategy = spec.strategy.name,
          .mapping = spec.mapping.name,
          .vmemmap_pages = !spec.vmemmap_blocks,
          .range_tlbi = spec.range_tlbi,
          .repeat_tlbi = spec.repeat_tlbi,
          .neighbours = std::move(neighbours),
          .vmalloc_neighbour = true};
}

report::Counts expected(const HotRemoveSpec& spec) {
  const scenario::Placement p = scenario::place(spec.regime, spec.memory);
  const PhysRange neighbour{PhysAddr(0), PhysAddr(p.start)};  // all of boot memory, as `boot` maps it
  PhysRange range{PhysAddr(p.start), PhysAddr(p.start + spec.memory.value)};
  if (!spec.blocks_one_by_one) return scenario::expected_counts(case_of(spec, range, {neighbour})).counts;
  report::Counts sum;
  for (; range.start != range.end; range.start += spec.regime.section_size()) {
    const PhysAddr next = range.start + spec.regime.section_size();
    std::vector<PhysRange> others{neighbour};
    if (next != range.end) others.push_back({next, range.end});
    const report::Counts one = scenario::expected_counts(case_of(spec, {range.start, next}, others)).counts;
    for (std::size_t i = 0; i < sum.tlbi.size(); ++i) sum.tlbi[i] += one.tlbi[i];
    for (std::size_t i = 0; i < sum.dsb.size(); ++i) sum.dsb[i] += one.dsb[i];
    sum.isb += one.isb;
    sum.descriptor_stores += one.descriptor_stores;
    sum.tables_freed += one.tables_freed;
  }
  return sum;
}

std::string describe(const HotRemoveSpec& s) {
  return std::string(s.strategy.name) + " " + std::to_string(s.regime.page_size() >> 10) + "K/" +
         std::to_string(s.regime.va_bits) + " " + s.mapping.name + " " + report::readable_bytes(s.memory) +
         (s.vmemmap_blocks ? "" : " vmemmap-pages") + (s.range_tlbi ? "" : " no-range") +
         (s.repeat_tlbi ? " repeat" : "") + (s.blocks_one_by_one ? " one-by-one" : "");
}

void expect_counts(const HotRemoveSpec& spec) {
  const HotRemoveRun result = run(spec);
  const report::Counts want = expected(spec);
  EXPECT_EQ(result.removal.counts().tlbi, want.tlbi) << describe(spec);
  EXPECT_EQ(result.removal.counts().dsb, want.dsb) << describe(spec);
  EXPECT_EQ(result.removal.counts(), want) << describe(spec);
  EXPECT_TRUE(result.warnings.empty()) << describe(spec);
}

TEST(TimedCounts, EveryRegimeAndStrategy) {
  for (const vmsa::Regime& r : vmsa::regimes)
    for (const mm::Strategy& strategy : mm::strategies)
      for (std::uint64_t sections : {1, 3})
        expect_counts(spec_of(r, strategy.name, sections * r.section_size()));
}

TEST(TimedCounts, EveryMapping) {
  for (unsigned mapping = 0; mapping < mm::mappings.size(); ++mapping)
    for (const mm::Strategy& strategy : mm::strategies)
      for (const vmsa::Regime& r : {vmsa::regime(12, 48), vmsa::regime(14, 48), vmsa::regime(16, 48)})
        expect_counts(spec_of(r, strategy.name, gib, mapping));
}

TEST(TimedCounts, FeaturesAndFallbacks) {
  for (const mm::Strategy& strategy : mm::strategies)
    for (const vmsa::Regime& r : {vmsa::regime(12, 48), vmsa::regime(14, 47), vmsa::regime(16, 52)})
      for (unsigned bits = 0; bits < 16; ++bits) {
        HotRemoveSpec spec = spec_of(r, strategy.name, 4 * r.section_size());
        spec.range_tlbi = (bits & 1) != 0;
        spec.repeat_tlbi = (bits & 2) != 0;
        spec.vmemmap_blocks = (bits & 4) != 0;
        spec.blocks_one_by_one = (bits & 8) != 0;
        expect_counts(spec);
      }
}

TEST(TimedCounts, SizesAroundTheRangeThreshold) {
  for (const char* strategy : {"B", "L", "T"})
    for (std::uint64_t memory : {8 * gib - (gib >> 3), 8 * gib, 8 * gib + (gib >> 3)})
      expect_counts(spec_of(vmsa::regime(12, 48), strategy, memory));
}

/// The counts of 480 GiB, for the granules where it is quick.
TEST(TimedCounts, ThePostsOwnSize) {
  for (unsigned page_shift : {14u, 16u}) {
    const bool is_16k = page_shift == 14;
    const HotRemoveRun p = run(spec_of(vmsa::regime(page_shift, 48), "P", 480 * gib));
    const report::Counts counts = p.removal.counts();
    const std::uint64_t leaves = is_16k ? 31'457'280 : 7'864'320;
    const std::uint64_t vmemmap_leaves = is_16k ? 122'880 : 7'680;
    EXPECT_EQ(counts.tlbi[vmsa::tlbi_index(vmsa::vaale1is)], leaves + vmemmap_leaves);
    EXPECT_GE(counts.tables_freed, is_16k ? 15'360u + 7 : 960u);

    const HotRemoveRun b = run(spec_of(vmsa::regime(page_shift, 48), "B", 480 * gib));
    EXPECT_EQ(b.removal.counts().tlbi[vmsa::tlbi_index(vmsa::vmalle1is)], 1u);
    EXPECT_EQ(b.removal.counts().tlbi[vmsa::tlbi_index(vmsa::vaale1is)], vmemmap_leaves);
  }
}

TEST(TimedCounts, BlocksOneByOneIsARangeEach) {
  HotRemoveSpec spec = spec_of(vmsa::regime(12, 48), "B", 4 * gib);
  spec.blocks_one_by_one = true;
  vmsa::TlbiOp range = vmsa::vaale1is;
  range.range = true;
  EXPECT_EQ(run(spec).removal.counts().tlbi[vmsa::tlbi_index(range)], 8u * 4);
}

TEST(TimedCounts, TablesComeBackAndAreUsedAgain) {
  const HotRemoveRun result = run(spec_of(vmsa::regime(12, 48), "B", gib));
  EXPECT_EQ(result.tables_built - result.tables_kept, result.removal.counts().tables_freed);
  EXPECT_LT(result.tables_kept, 80u);  // those of boot memory and those shared with it
}

TEST(TimedCounts, OnlyPassOneOfTheLinearMapHasNoReschedulePoint) {
  const vmsa::Regime r = vmsa::regime(12, 48);
  const HotRemoveRun result = run(spec_of(r, "P", gib));
  // vmemmap is torn down section by section with a reschedule point after each; the linear map in one go.
  EXPECT_EQ(result.removal.total()[timed::Event::reschedule], 8u);
  EXPECT_EQ(result.longest_stretch.total()[timed::Event::descriptor_clear], gib / r.page_size() + 512 + 1);
}

}  // namespace
}  // namespace shootdown
