// SPDX-License-Identifier: MIT
// Every barrier and flush of a safe strategy weakened, one at a time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/campaign.hpp"

namespace shootdown::tests {
namespace {

TEST(Campaign, EveryMutantOfOneFlushForAll) {
  const auto refuted = expect_no_survivor({"--strategy", "T", "--granule", "64k"});
  // One flush for leaves and tables: each way to make it less must be found out.
  for (const char* weaker : {"dropped", "local", "last-level", "asid-form", "one-page-short", "hint-level-3"})
    EXPECT_THAT(refuted, testing::Contains(std::string(weaker) + " flush_tlb_kernel_ranges_and_tables"));
  EXPECT_THAT(refuted, testing::Contains("list-through-page free_hotplug_table"));
}

}  // namespace
}  // namespace shootdown::tests
