// SPDX-License-Identifier: MIT
// Explores a setup of the model without any reduction and holds its counts against a reference.
#pragma once

#include <gtest/gtest.h>

#include "explore/search.hpp"
#include "tests/reference/held.hpp"

namespace shootdown::reference {

/// Every state of the model, harms passed over.
inline explore::SearchResult explore_all(model::System& system) {
  explore::SearchOptions options;
  options.judge = model::Judge::nothing;
  return explore::search(system, system.initial(), options);
}

/// Reads are in program order, as the references have them. Prints both and their ratio, the factor by which the model splits states too finely.
inline void expect_same_system(const Counts& reference, model::Setup setup) {
  setup.early_reads = false;
  model::System system(std::move(setup));
  const explore::SearchResult r = explore_all(system);
  ASSERT_EQ(r.ending, explore::Ending::exhausted);
  EXPECT_EQ(r.states, reference.states)
      << "over-split by a factor of "
      << static_cast<double>(r.states) / static_cast<double>(reference.states);
  EXPECT_EQ(r.transitions, reference.transitions);
  EXPECT_EQ(r.end_states, reference.ends);
  ::testing::Test::RecordProperty("states", std::to_string(r.states));
  ::testing::Test::RecordProperty("transitions", std::to_string(r.transitions));
}

}  // namespace shootdown::reference
