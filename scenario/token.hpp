// SPDX-License-Identifier: MIT
// Replay tokens, written and read. Following one is replay() in check.hpp.
#pragma once

#include "scenario/check.hpp"

namespace shootdown::scenario {

struct Token {
  HotRemoveConfig config;    ///< without its mutation
  std::uint32_t mutant = 0;  ///< names the mutation; 0: none
  std::vector<explore::Choice> path;
};

/// The error is one line that says what is wrong and what to do.
tl::expected<Token, std::string> parse_token(std::string_view text);
std::string text_of(const Token& token);
std::string make_token(const HotRemoveConfig& config, const std::vector<explore::Choice>& path);

/// The configuration with its mutation, found by running the procedure once; or the same kind of error.
tl::expected<HotRemoveConfig, std::string> configuration(const Token& token);

}  // namespace shootdown::scenario
