// SPDX-License-Identifier: MIT
#include "audit/suppress.hpp"

#include <fstream>
#include <iterator>

namespace shootdown::audit {
namespace {

std::string_view trim(std::string_view s) {
  const std::size_t first = s.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(" \t\r") - first + 1);
}

bool names(std::string_view pattern, std::string_view title) {
  if (pattern.ends_with('*')) return title.starts_with(pattern.substr(0, pattern.size() - 1));
  return pattern == title;
}

}  // namespace

Expected<std::vector<Suppression>> parse_suppressions(std::string_view text, std::string_view file_name) {
  std::vector<Suppression> all;
  for (unsigned number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::string_view line = trim(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.empty() || line.front() == '#') continue;
    const std::size_t colon = line.find(':');
    const std::string_view title = trim(line.substr(0, colon));
    const std::string_view reason =
        colon == std::string_view::npos ? std::string_view() : trim(line.substr(colon + 1));
    if (title.empty() || reason.empty())
      return fail(ExitCode::bad_data, "{}:{}: an entry is `TITLE: reason`, and the reason is missing",
                  file_name, number);
    all.push_back({std::string(title), std::string(reason)});
  }
  return all;
}

Expected<std::vector<Suppression>> read_suppressions(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) return fail(ExitCode::missing_input, "cannot read the suppressions {}", path.string());
  return parse_suppressions(std::string((std::istreambuf_iterator<char>(file)), {}), path.string());
}

void suppress(AuditResult& result, const std::vector<Suppression>& suppressions) {
  for (Violation& v : result.violations)
    for (const Suppression& s : suppressions)
      if (names(s.title, v.title)) v.suppressed = s.reason;
}

}  // namespace shootdown::audit
