// SPDX-License-Identifier: MIT
// Strategy: what takes minutes or gibibytes: T at 8 GiB, every strategy in every regime, sizes that are no round
// number, and the same run many times over.
#include "tests/metal/boots.hpp"

namespace shootdown::scenario {
namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;
const std::vector<std::string> safe{"P", "B", "L", "T"};

TEST(BootLong, StrategyTAt8GiB) {
  SHOOTDOWN_BOOTS_ELSEWHERE();
  for (unsigned page_shift : {12u, 14u, 16u}) {
    BootCase c{.regime = vmsa::regime(page_shift, 48), .memory_bytes = 8 * gib, .strategies = {"T"}};
    const BootOutcome out = expect_pass(c);
    ASSERT_EQ(out.results.size(), 1u);
    EXPECT_LT(tlbi_total(out.results[0]), 10u);
  }
}

TEST(BootLong, EverySafeStrategyInEveryRegime) {
  SHOOTDOWN_BOOTS_ELSEWHERE();
  for (const vmsa::Regime& r : vmsa::regimes)
    expect_pass({.regime = r, .memory_bytes = gib, .cpus = 4, .strategies = safe});
}

TEST(BootLong, SizesThatTakeSeveralOperations) {
  SHOOTDOWN_BOOTS_ELSEWHERE();
  for (unsigned sections : {3u, 5u, 7u, 9u, 11u}) {
    const vmsa::Regime r = vmsa::regime(12, 48);
    expect_pass({.regime = r, .memory_bytes = sections * r.section_size(), .cpus = 3, .strategies = safe});
  }
}

TEST(BootLong, TheNegativeControlNeverPasses) {
  SHOOTDOWN_BOOTS_ELSEWHERE();
  BootCase c{.regime = vmsa::regime(12, 48), .memory_bytes = gib, .cpus = 4, .strategies = {"R0"}};
  for (int i = 0; i < 10; ++i) {
    const BootOutcome out = boot(c, real_machine());
    ASSERT_EQ(out.results.size(), 1u) << out.message;
    EXPECT_GT(out.results[0].stale_accesses, 0u) << i;
    EXPECT_FALSE(out.results[0].passed()) << i;
  }
}

}  // namespace
}  // namespace shootdown::scenario
