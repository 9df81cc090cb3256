// SPDX-License-Identifier: MIT
// The whole campaign: every strategy that is safe somewhere, at the default VA size of each granule.
#include <gtest/gtest.h>

#include "tests/cli/campaign.hpp"

namespace shootdown::tests {
namespace {

TEST(CampaignLong, EveryMutantOfEverySafeStrategy) {
  EXPECT_FALSE(expect_no_survivor({"--strategy", "P,R,B,L,T", "--granule", "all"}).empty());
}

}  // namespace
}  // namespace shootdown::tests
