// SPDX-License-Identifier: MIT
// The errors of audit: one line for the user and the exit code that goes with it. Values, never exceptions.
#pragma once

#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace shootdown::audit {

/// Exit codes by sysexits' numbers; docs/formats.md lists them for every command.
enum class ExitCode : int {
  usage = 64,
  bad_data = 65,
  missing_input = 66,
  unavailable = 69,
  internal = 70,
  guest_failed = 75,
  interrupted = 130,
};

/// `message` names the thing and the way out, in one line; `details` are lines to show below it as they are
/// (the last of a guest's console, of a tool's complaint).
struct Error {
  ExitCode code = ExitCode::internal;
  std::string message;
  std::string details;
};

template <typename T>
using Expected = tl::expected<T, Error>;

template <typename... Args>
tl::unexpected<Error> fail(ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected(Error{code, fmt::format(format, std::forward<Args>(args)...), {}});
}

}  // namespace shootdown::audit
