// SPDX-License-Identifier: MIT
// How a command says that it cannot do what was asked. Not for results: those go to standard output.
#pragma once

#include <string>

namespace shootdown::cli {

/// Why a command line cannot be run: one line, and the exit code.
struct Refusal {
  int exit_code = 64;
  std::string message;
};

}  // namespace shootdown::cli
