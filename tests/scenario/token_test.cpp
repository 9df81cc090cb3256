// SPDX-License-Identifier: MIT
// Replay tokens name what they were made for, mutants included, and nothing else.
#include "scenario/token.hpp"

#include <gtest/gtest.h>

#include <set>

#include "scenario/campaign.hpp"

namespace shootdown::scenario {
namespace {

TEST(Token, NamesEachMutantOfItsCampaign) {
  for (const mm::Strategy& strategy : mm::strategies) {
    HotRemoveConfig c;
    c.strategy = strategy;
    std::set<std::string> tokens;
    for (const model::Mutation& m : mutants(c)) {
      HotRemoveConfig mutant = c;
      mutant.mutation = m;
      const std::string text = make_token(mutant, {});
      EXPECT_TRUE(tokens.insert(text).second) << m.describe();
      const auto token = parse_token(text);
      ASSERT_TRUE(token) << token.error();
      const auto again = configuration(*token);
      ASSERT_TRUE(again && again->mutation) << m.describe();
      EXPECT_EQ(again->mutation->describe(), m.describe());
    }
    EXPECT_FALSE(tokens.empty()) << strategy.name;
  }
}

TEST(Token, AMutantOfNothingIsRefused) {
  auto token = parse_token(make_token({}, {}));
  ASSERT_TRUE(token);
  EXPECT_FALSE(configuration(*token)->mutation);
  token->mutant = 1;
  const auto refused = configuration(*token);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().find("there is no such mutant"), std::string::npos);
}

}  // namespace
}  // namespace shootdown::scenario
