// SPDX-License-Identifier: MIT
// Runs the real executable the way a shell does, and keeps what it wrote to each stream. No test is in here.
#pragma once

#include <string>
#include <vector>

namespace shootdown::tests {

struct Finished {
  int exit_code = -1;  ///< -signal when one ended it
  std::string out;
  std::string err;

  std::vector<std::string> lines() const;  ///< of `out`
};

struct Start {
  std::vector<std::string> arguments;
  /// Sent once a first line is on standard output; 0: none.
  int signal_after_first_line = 0;
};

Finished run(const Start& start);
inline Finished run(std::vector<std::string> arguments) { return run(Start{std::move(arguments)}); }

}  // namespace shootdown::tests
