// SPDX-License-Identifier: MIT
// Cells of hot-remove's matrix by the names of their strategies, their mutants, and verdicts as text.
#pragma once

#include <string>
#include <string_view>

#include "scenario/campaign.hpp"

namespace shootdown::scenario {

mm::Strategy strategy(std::string_view name);
HotRemoveConfig linear(std::string_view name, unsigned mapping = 0);
HotRemoveConfig vmemmap(std::string_view name, VmemmapKind kind);

CheckResult run(const HotRemoveConfig& c);
/// "harm cause", or "safe", or "bound".
std::string verdict(const CheckResult& r);
std::string verdict(const HotRemoveConfig& c);

/// The mutant of `c` that weakens the first operation of its kind inside `function`.
HotRemoveConfig mutant(HotRemoveConfig c, model::Kind kind, std::string_view function, model::Weakening w,
                       unsigned skip = 0);

}  // namespace shootdown::scenario
