// SPDX-License-Identifier: MIT
// `time` results as JSON, and units for people.
#include "report/time.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "report/counts_json.hpp"

namespace shootdown::report {

namespace {

using nlohmann::ordered_json;
using timed::Nanoseconds;

/// Whole nanoseconds: a fraction would claim more than there is.
std::uint64_t whole(Nanoseconds t) { return static_cast<std::uint64_t>(std::llround(t.value)); }

}  // namespace

std::string readable_time(Nanoseconds time) {
  struct Unit {
    double nanoseconds;
    const char* name;
  };
  constexpr std::array<Unit, 4> units{{{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}}};
  if (time.value <= 0) return "0";
  for (const Unit& u : units) {
    const double n = time.value / u.nanoseconds;
    if (n < 0.9995 && u.nanoseconds > 1) continue;
    const int decimals = n < 9.995 ? 2 : n < 99.95 ? 1 : 0;
    return fmt::format("{:.{}f} {}", n, decimals, u.name);
  }
  return "0";
}

std::string readable_number(double x) {
  return x < 999.5 ? fmt::format("{:.3g}", x) : fmt::format("{:.0f}", x);
}

std::string readable_bytes(timed::Bytes bytes) {
  constexpr std::array<std::pair<unsigned, char>, 4> units{{{40, 'T'}, {30, 'G'}, {20, 'M'}, {10, 'K'}}};
  for (const auto& [shift, name] : units)
    if (bytes.value >= std::uint64_t{1} << shift && bytes.value % (std::uint64_t{1} << shift) == 0)
      return fmt::format("{}{}", bytes.value >> shift, name);
  for (const auto& [shift, name] : units)
    if (bytes.value >= std::uint64_t{1} << shift)
      return fmt::format("{:.2f}{}",
                         static_cast<double>(bytes.value) / static_cast<double>(std::uint64_t{1} << shift),
                         name);
  return fmt::format("{}B", bytes.value);
}

std::string readable_features(bool range_tlbi, std::string_view bbm) {
  const auto level = std::find(timed::bbm_names.begin(), timed::bbm_names.end(), bbm);
  constexpr std::array<std::string_view, 4> levels{"0", "1", "2", "2 without conflict aborts"};
  return fmt::format("{}, FEAT_BBM level {}", range_tlbi ? "range TLBI" : "no range TLBI",
                     levels[static_cast<std::size_t>(level - timed::bbm_names.begin())]);
}

std::string readable_figures(const std::array<unsigned, timed::status_names.size()>& counts) {
  const auto of = [&](timed::Status s) { return counts[static_cast<std::size_t>(s)]; };
  return fmt::format("{} figures: {} measured on this machine, {} published, {} derived, {} guessed",
                     timed::param_count, of(timed::Status::user), of(timed::Status::published),
                     of(timed::Status::derived), of(timed::Status::guess));
}

ordered_json time_json(const TimeResult& r) {
  ordered_json breakdown = ordered_json::object();
  for (std::size_t i = 0; i < timed::cost_names.size(); ++i)
    breakdown[std::string(timed::cost_names[i])] = whole(r.breakdown.parts[i]);
  ordered_json figures = ordered_json::object();
  for (std::size_t i = 0; i < timed::status_names.size(); ++i)
    figures[std::string(timed::status_names[i])] = r.figure_counts[i];
  ordered_json json;
  json["command"] = "time";
  json["scenario"] = r.scenario;
  json["strategy"] = r.strategy;
  json["granule"] = fmt::format("{}k", (std::uint64_t{1} << r.page_shift) >> 10);
  json["va_bits"] = r.va_bits;
  json["cpus"] = r.cpus;
  json["memory_bytes"] = r.memory.value;
  json["profile"] = r.profile;
  json["profile_digest"] = r.profile_digest;
  json["sockets"] = r.sockets;
  json["range_tlbi"] = r.range_tlbi;
  json["bbm"] = timed::bbm_names[static_cast<std::size_t>(r.bbm)];
  json["figures"] = std::move(figures);
  json["load"] = r.load;
  json["mapping"] = r.mapping;
  json["vmemmap"] = r.vmemmap;
  json["erratum"] = r.erratum;
  json["blocks_one_by_one"] = r.blocks_one_by_one;
  json["seed"] = r.seed;
  json["samples"] = r.samples;
  json["simulated_ns"] = whole(r.simulated);
  json["simulated_ns_low"] = whole(r.low);
  json["simulated_ns_high"] = whole(r.high);
  json["dominant"] = {{"parameter", r.dominant_parameter},
                      {"status", timed::status_names[static_cast<std::size_t>(r.dominant_status)]},
                      {"simulated_ns_low", whole(r.dominant_low)},
                      {"simulated_ns_high", whole(r.dominant_high)}};
  json["counts"] = counts_json(r.counts);
  json["breakdown_ns"] = std::move(breakdown);
  json["bystanders"] = {{"stolen_ns_total", whole(r.bystanders.stolen_total)},
                        {"stall_ns_max", whole(r.bystanders.stall_max)},
                        {"interrupted_cpus", r.bystanders.interrupted_cpus}};
  json["longest_stretch_ns"] = whole(r.longest_stretch);
  json["rcu_stall_warning"] = r.rcu_stall_warning;
  json["warnings"] = r.warnings;
  json["remarks"] = r.remarks;
  json["host_seconds"] = r.host_seconds;
  json["host_peak_bytes"] = r.host_peak.value;
  return json;
}

std::string time_key(const ordered_json& json) {
  std::string key;
  for (const char* part :
       {"scenario", "strategy", "granule", "va_bits", "cpus", "memory_bytes", "profile", "profile_digest",
        "sockets", "load", "mapping", "vmemmap", "erratum", "blocks_one_by_one", "seed", "samples"}) {
    const auto found = json.find(part);
    key += (found == json.end() ? std::string("?") : found->dump()) + '|';
  }
  return key;
}

}  // namespace shootdown::report
