// SPDX-License-Identifier: MIT
// The `diff` command: two audits side by side, each a trace or a line of `audit --format json`.
#include <fmt/format.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "audit/audit.hpp"
#include "cli/audit.hpp"
#include "report/audit.hpp"

namespace shootdown::cli {
namespace {

using nlohmann::ordered_json;

/// The last audit in the file: the newest, where a file collects several.
tl::expected<ordered_json, Refusal> read_result(const std::string& path) {
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
    if (json.is_object() && json.value("command", "") == "audit") found = std::move(json);
  }
  if (found.is_null())
    return tl::unexpected(Refusal{
        exit_code::bad_input,
        fmt::format("{} holds no audit: a trace (audit -o) or the output of audit --format json is needed",
                    path)});
  return found;
}

}  // namespace

void run_diff(const DiffOptions& o, Session& session) {
  const auto a = read_result(o.a);
  if (!a) return session.fail(a.error());
  const auto b = read_result(o.b);
  if (!b) return session.fail(b.error());
  report::write_audit_diff(session.out, *a, *b);
}

}  // namespace shootdown::cli
