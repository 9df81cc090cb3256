// SPDX-License-Identifier: MIT
// Reading replay tokens; writing them is make_token in check.hpp.
#pragma once

#include "scenario/check.hpp"

namespace shootdown::scenario {

struct Token {
  HotRemoveConfig config;
  std::vector<explore::Choice> path;
};

/// The error is one line that says what is wrong and what to do.
tl::expected<Token, std::string> parse_token(std::string_view text);

}  // namespace shootdown::scenario
