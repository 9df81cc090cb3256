// SPDX-License-Identifier: MIT
// Runs a short-lived helper program to its end and keeps what it said. Long-lived ones: process.hpp.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "audit/error.hpp"

namespace shootdown::audit {

struct CommandResult {
  int status = 0;  ///< exit code, or 128 + the signal that ended it
  std::string out;
  std::string err;
};

struct Command {
  std::vector<std::string> words;
  std::vector<std::pair<std::string, std::string>> environment;  ///< added to this process's own
  std::string directory;                                         ///< to run in; empty: here
};

/// Errors: `unavailable` when the program does not exist. A non-zero status is the caller's to judge.
Expected<CommandResult> run_command(const Command& command);

/// The same, but a non-zero status is an error too: `unavailable`, with the program's complaint as details.
Expected<std::string> output_of(const Command& command);

}  // namespace shootdown::audit
