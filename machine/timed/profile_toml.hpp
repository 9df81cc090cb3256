// SPDX-License-Identifier: MIT
// Profiles as TOML text: strict reading, every error with file, line and what was expected. docs/timed.md
// describes the format.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "machine/timed/profile.hpp"

namespace shootdown::timed {

/// What is wrong with a profile, as one line: "FILE:LINE: message".
struct ProfileError {
  std::string file;
  unsigned line = 0;  ///< 0 when no line is to blame
  std::string message;
  bool missing = false;  ///< there is no such file or profile

  std::string text() const;
};

/// Text that begins with `base = "NAME"` changes single values of that built-in profile; any other text is a
/// whole profile and must give every figure.
tl::expected<Profile, ProfileError> parse_profile(std::string_view text, const std::string& file);

/// `spec` is the name of a built-in profile or the path of a file; several separated by commas are laid over
/// each other from left to right, of which only the first may be whole.
tl::expected<Profile, ProfileError> load_profile(std::string_view spec);

/// A profile that comes with the program.
struct BuiltinProfile {
  std::string_view name;
  std::string_view text;
};
/// In the order of their names. Generated from profiles/*.toml at build time.
const std::vector<BuiltinProfile>& builtin_profiles();

}  // namespace shootdown::timed
