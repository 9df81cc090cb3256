// SPDX-License-Identifier: MIT
#include "cli/suggest.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace shootdown::cli {
namespace {

std::string lower(std::string_view s) {
  std::string text(s);
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

unsigned edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<unsigned>> d(a.size() + 1, std::vector<unsigned>(b.size() + 1));
  for (unsigned i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (unsigned j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (unsigned i = 1; i <= a.size(); ++i)
    for (unsigned j = 1; j <= b.size(); ++j) {
      d[i][j] =
          std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

std::string unknown_name(std::string_view what, std::string_view given,
                         const std::vector<std::string>& known) {
  const std::string text = lower(given.substr(0, 64));
  std::string nearest;
  unsigned least = ~0u;
  for (const std::string& name : known) {
    const unsigned distance = edit_distance(text, lower(name));
    if (distance < least) nearest = name;
    least = std::min(least, distance);
  }
  const bool near = least <= std::max<std::size_t>(1, nearest.size() / 3) && least < text.size() + 1;
  std::string message = fmt::format("unknown {} '{}'", what, given);
  if (near) message += fmt::format("; did you mean '{}'?", nearest);
  return message + fmt::format(" (there are: {})", fmt::join(known, ", "));
}

}  // namespace shootdown::cli
