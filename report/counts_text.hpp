// SPDX-License-Identifier: MIT
// Counts for people, the same in every command's tables: digits in groups, TLBI by kind.
#pragma once

#include <string>

#include "report/counts.hpp"

namespace shootdown::report {

/// "125 829 120".
std::string grouped(std::uint64_t n);
std::uint64_t tlbi_total(const Counts& counts);
/// "262 152 VAALE1IS, 513 VAAE1IS": the most frequent first; "none".
std::string tlbi_by_operation(const Counts& counts);

}  // namespace shootdown::report
