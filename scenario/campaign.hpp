// SPDX-License-Identifier: MIT
// The mutation campaign: every barrier, TLBI, ISB and flush argument of a configuration's remover, weakened one
// at a time and checked. Generated from what the procedure executes, not from a list.
#pragma once

#include "scenario/check.hpp"

namespace shootdown::scenario {

/// All single weakenings of what CPU 0 executes, in the order it first executes them; the position in this list
/// names a mutant.
std::vector<model::Mutation> mutants(const HotRemoveConfig& config);

/// What became of a mutant, from the least telling to the most: over several configurations the greatest counts.
enum class Fate : std::uint8_t {
  idle,         ///< survived: the operation has no work to do
  substituted,  ///< survived: other operations do all of its work
  survived,     ///< and nobody knows why
  undecided,    ///< the search was ended by its bound
  refuted,
};

struct MutantResult {
  model::Mutation mutation;
  CheckResult check;
  Fate fate = Fate::undecided;
  std::string reason;  ///< of `idle` and `substituted`, in words

  bool redundant() const { return fate == Fate::idle || fate == Fate::substituted; }
};

MutantResult try_mutant(const HotRemoveConfig& config, const model::Mutation& mutation,
                        const explore::SearchOptions& options);

}  // namespace shootdown::scenario
