// SPDX-License-Identifier: MIT
// What a command is given: where to write, what it writes to, and the exit code that it leaves.
#pragma once

#include <ostream>

#include "cli/exit_code.hpp"
#include "cli/refusal.hpp"

namespace shootdown::cli {

struct Session {
  std::ostream& out;      ///< results, and nothing else
  std::ostream& err;      ///< errors and progress
  bool colour = false;    ///< standard output is a terminal, and NO_COLOR is not set
  bool progress = false;  ///< standard error is a terminal
  int exit_code = exit_code::holds;

  /// The way out of a command that cannot do what was asked.
  void fail(const Refusal& refusal) {
    err << "shootdown: " << refusal.message << '\n';
    exit_code = refusal.exit_code;
  }
};

}  // namespace shootdown::cli
