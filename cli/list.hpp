// SPDX-License-Identifier: MIT
// The `list` command.
#pragma once

#include <string>

#include "cli/session.hpp"

namespace shootdown::cli {

/// As the user typed them; empty means "not given".
struct ListOptions {
  std::string what;
  std::string profile;
  std::string format = "text";
};

void run_list(const ListOptions& options, Session& session);

}  // namespace shootdown::cli
