// SPDX-License-Identifier: MIT
// A trace or JSON lines, by how the file begins.
#include "cli/audit_file.hpp"

#include <fmt/format.h>

#include <fstream>

#include "audit/audit.hpp"
#include "cli/exit_code.hpp"
#include "report/audit.hpp"

namespace shootdown::cli {

using nlohmann::ordered_json;

tl::expected<ordered_json, Refusal> read_audit(const std::string& path) {
  std::ifstream file(path);
  if (!file) return tl::unexpected(Refusal{exit_code::no_input, fmt::format("cannot read {}", path)});
  std::string begin(4, '\0');
  file.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  if (begin == "SHTD") {
    auto judged = audit::audit_trace(path);
    if (!judged)
      return tl::unexpected(Refusal{static_cast<int>(judged.error().code), judged.error().message});
    return report::audit_json(*judged);
  }
  file.clear();
  file.seekg(0);
  ordered_json found;
  for (std::string line; std::getline(file, line);) {
    ordered_json json = ordered_json::parse(line, nullptr, false);
    const auto command = json.is_object() ? json.find("command") : json.end();
    if (command != json.end() && *command == "audit") found = std::move(json);
  }
  if (found.is_null())
    return tl::unexpected(Refusal{
        exit_code::bad_input,
        fmt::format("{} holds no audit: a trace (audit -o) or the output of audit --format json is needed",
                    path)});
  return found;
}

}  // namespace shootdown::cli
