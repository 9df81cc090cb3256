// SPDX-License-Identifier: MIT
// Colour, and nothing but colour: every text reads the same without it.
#pragma once

#include <string>
#include <string_view>

namespace shootdown::report {

struct Style {
  bool colour = false;

  std::string good(std::string_view s) const { return paint("32", s); }
  std::string bad(std::string_view s) const { return paint("1;31", s); }
  std::string caution(std::string_view s) const { return paint("33", s); }
  std::string dim(std::string_view s) const { return paint("2", s); }
  std::string strong(std::string_view s) const { return paint("1", s); }

 private:
  std::string paint(std::string_view code, std::string_view s) const {
    if (!colour || s.empty()) return std::string(s);
    return std::string("\x1b[").append(code).append("m").append(s).append("\x1b[0m");
  }
};

}  // namespace shootdown::report
