// SPDX-License-Identifier: MIT
// Writing priced call sites.
#include "report/site_costs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "report/counts_json.hpp"
#include "report/counts_text.hpp"
#include "report/time.hpp"

namespace shootdown::report {
namespace {

using nlohmann::ordered_json;
using timed::Nanoseconds;

std::uint64_t whole(Nanoseconds t) { return static_cast<std::uint64_t>(std::llround(t.value)); }

ordered_json line(const SiteCosts& costs, const timed::Percentiles<Nanoseconds>& time) {
  return {{"command", "time"},
          {"scenario", "audit"},
          {"audit", costs.audit},
          {"profile", costs.profile},
          {"profile_digest", costs.profile_digest},
          {"cpus", costs.cpus},
          {"sockets", costs.sockets},
          {"seed", costs.sampling.seed},
          {"samples", costs.sampling.samples},
          {"simulated_ns", whole(time.median)},
          {"simulated_ns_low", whole(time.low)},
          {"simulated_ns_high", whole(time.high)}};
}

void write_row(std::ostream& out, const timed::Percentiles<Nanoseconds>& time, Nanoseconds total,
               const Counts* counts, const std::string& where) {
  const double share = total.value > 0 ? 100 * (time.median / total) : 0;
  out << fmt::format("{:>9}  {:<21}{:>6.1f} %  |", readable_time(time.median),
                     fmt::format("{} .. {}", readable_time(time.low), readable_time(time.high)), share);
  if (counts != nullptr)
    out << fmt::format("{:>11}{:>11}{:>9}", grouped(tlbi_total(*counts)),
                       grouped(counts->dsb[static_cast<std::size_t>(machine::Dsb::ish)]),
                       grouped(counts->sgi));
  else
    out << fmt::format("{:>31}", "");
  out << "   " << where << '\n';
}

}  // namespace

std::vector<ordered_json> site_costs_json(const SiteCosts& costs) {
  std::vector<ordered_json> lines{line(costs, costs.total)};
  lines.front()["function"] = nullptr;
  for (const SiteCost& site : costs.sites) {
    ordered_json json = line(costs, site.time);
    json["function"] = site.function;
    json["callers"] = site.callers;
    const ordered_json counts = counts_json(site.counts);
    for (const char* key : {"tlbi", "dsb", "sgi"}) json[key] = counts.at(key);
    json["pages"] = site.pages;
    lines.push_back(std::move(json));
  }
  return lines;
}

void write_site_costs(std::ostream& out, const SiteCosts& costs, std::size_t sites_max) {
  out << fmt::format("audit of {}\non {}\nthe profile's {}\n\n", costs.audit, costs.machine, costs.figures);
  out << fmt::format("{:>9}  {:<21}{:>8}  |{:>11}{:>11}{:>9}   {}\n", "estimate", "5 to 95 %", "share",
                     "TLBI", "DSB ISH", "SGI", "call site");
  const std::size_t shown = std::min(sites_max, costs.sites.size());
  for (const SiteCost& site : std::span(costs.sites).first(shown)) {
    std::string where = site.function;
    for (std::size_t i = 0; i < std::min<std::size_t>(site.callers.size(), 3); ++i)
      where += " < " + site.callers[i];
    write_row(out, site.time, costs.total.median, &site.counts, where);
  }
  if (costs.sites.size() > shown)
    out << fmt::format("          ... and {} more call sites (--format json has them)\n",
                       costs.sites.size() - shown);
  write_row(out, costs.total, costs.total.median, nullptr, "all of them");
  out << fmt::format(
      "\nCounts are the audit's, exact. Times are estimates of what the operations take their CPU: medians "
      "of {} "
      "samples (seed {}).\nA call site is charged its own TLBIs and as many completions as it has both; what "
      "the "
      "other CPUs lose is not in it.\n",
      costs.sampling.samples, costs.sampling.seed);
}

}  // namespace shootdown::report
