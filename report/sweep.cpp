// SPDX-License-Identifier: MIT
// The table of a sweep. Only estimates: counts are in the JSON lines.
#include "report/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "report/time.hpp"

namespace shootdown::report {

using nlohmann::ordered_json;

std::vector<ordered_json> distinct(const std::vector<ordered_json>& lines, const char* member) {
  std::vector<ordered_json> values;
  for (const ordered_json& line : lines)
    if (std::find(values.begin(), values.end(), line.at(member)) == values.end())
      values.push_back(line.at(member));
  return values;
}

namespace {

std::string estimate(const std::vector<ordered_json>& lines, const ordered_json& like,
                     const ordered_json& strategy) {
  for (const ordered_json& line : lines) {
    constexpr std::array keys{"granule", "va_bits", "memory_bytes", "cpus"};
    const bool same =
        std::all_of(keys.begin(), keys.end(), [&](const char* key) { return line.at(key) == like.at(key); });
    if (!same || line.at("strategy") != strategy) continue;
    const std::string stall = line.at("rcu_stall_warning").get<bool>() ? " !" : "  ";
    return readable_time(timed::Nanoseconds(line.at("simulated_ns").get<double>())) + stall;
  }
  return "";
}

}  // namespace

void write_sweep_text(std::ostream& out, const std::vector<ordered_json>& lines) {
  if (lines.empty()) return;
  const auto strategies = distinct(lines, "strategy");
  const ordered_json& head = lines.front();
  out << fmt::format(
      "{} on {}, {}, load of the others {}, linear map by {}, repeat-TLBI erratum workaround {}: estimated "
      "time (median; ! RCU stall)\n\n",
      head.at("scenario").get<std::string>(), head.at("profile").get<std::string>(),
      readable_features(head.at("range_tlbi").get<bool>(), head.at("bbm").get<std::string>()),
      head.at("load").get<std::string>(), head.at("mapping").get<std::string>(),
      head.at("erratum").get<bool>() ? "on" : "off");
  out << fmt::format("{:<8}{:<5}{:>8}{:>6}", "pages", "VA", "memory", "CPUs");
  for (const ordered_json& s : strategies) out << fmt::format("{:>12}", s.get<std::string>() + "  ");
  out << '\n';
  std::vector<std::string> seen;
  for (const ordered_json& line : lines) {
    const std::string row = fmt::format(
        "{:<8}{:<5}{:>8}{:>6}", line.at("granule").get<std::string>(), line.at("va_bits").get<unsigned>(),
        readable_bytes(timed::Bytes(line.at("memory_bytes").get<std::uint64_t>())),
        line.at("cpus").get<unsigned>());
    if (std::find(seen.begin(), seen.end(), row) != seen.end()) continue;
    seen.push_back(row);
    out << row;
    for (const ordered_json& s : strategies) out << fmt::format("{:>12}", estimate(lines, line, s));
    out << '\n';
  }
}

}  // namespace shootdown::report
