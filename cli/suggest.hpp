// SPDX-License-Identifier: MIT
// Names that a user mistyped: which one was meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shootdown::cli {

/// The number of letters to insert, delete, replace or swap with their neighbour.
unsigned edit_distance(std::string_view a, std::string_view b);

/// `unknown <what> 'x'; did you mean 'y'? (there are: ...)`. Nothing is suggested when nothing is near.
std::string unknown_name(std::string_view what, std::string_view given,
                         const std::vector<std::string>& known);

}  // namespace shootdown::cli
