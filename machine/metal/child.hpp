// SPDX-License-Identifier: MIT
// A child process whose output is read while it runs, that cannot outlive us, and that is killed with all of its
// own children when it takes too long. What it is and what it says is the caller's business.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace shootdown::metal {

struct ChildSpec {
  std::vector<std::string> argv;  ///< argv[0] is looked up in PATH
  std::chrono::milliseconds timeout{300'000};
  std::function<void(std::string_view)> on_stdout;
  std::function<void(std::string_view)> on_stderr;
  /// Asked several times a second; true ends the child.
  std::function<bool()> interrupted;
};

struct ChildExit {
  enum class How : unsigned char {
    could_not_start,  ///< `code` is errno
    exited,           ///< `code` is its exit status
    signalled,        ///< `code` is the signal that ended it, one of ours not among them
    timed_out,
    interrupted,
  };
  How how = How::could_not_start;
  int code = 0;
};

/// Runs it to its end, in a process group of its own, with /dev/null as its input. Nothing of the group is left
/// when this returns.
ChildExit run_child(const ChildSpec& spec);

}  // namespace shootdown::metal
