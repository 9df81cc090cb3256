// SPDX-License-Identifier: MIT
// The mutation campaign: every barrier, TLBI, ISB and flush argument of a configuration's remover, weakened one
// at a time and checked. Generated from what the procedure executes, not from a list.
#pragma once

#include "scenario/check.hpp"

namespace shootdown::scenario {

/// All single weakenings of what CPU 0 executes, in the order it first executes them; the position in this list
/// names a mutant.
std::vector<model::Mutation> mutants(const HotRemoveConfig& config);

/// What became of one mutant.
struct MutantResult {
  model::Mutation mutation;
  CheckResult check;
  std::string reason;  ///< why a mutant that survived is harmless: who else does the operation's work
};

MutantResult try_mutant(const HotRemoveConfig& config, const model::Mutation& mutation,
                        const explore::SearchOptions& options);

}  // namespace shootdown::scenario
