// SPDX-License-Identifier: MIT
// The call sites of an audited kernel with a price: what an audit counted, exact, and what a profile says that it takes,
// an estimate; never in one column. Pricing is scenario/site_costs.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "machine/timed/uncertainty.hpp"
#include "report/counts.hpp"

namespace shootdown::report {

/// One place of the kernel, by its call stack.
struct SiteCost {
  std::string function;
  std::vector<std::string> callers;  ///< nearest first
  Counts counts;                     ///< TLBI, DSB and SGI alone
  std::uint64_t pages = 0;           ///< that its TLBIs by address named, in all
  timed::Percentiles<timed::Nanoseconds> time{};
};

/// All that is said about one audit on one machine.
struct SiteCosts {
  std::string audit;    ///< "debian:7.2.13 (7.2.13-arm64), hot-unplug"
  std::string machine;  ///< "neoverse-v2-72: 72 CPUs, ..."
  std::string profile;
  std::string profile_digest;
  unsigned cpus = 1;
  unsigned sockets = 1;
  std::string figures;  ///< of the profile, by how they are known
  timed::Sampling sampling;
  std::vector<SiteCost> sites;  ///< the dearest first
  timed::Percentiles<timed::Nanoseconds> total{};
};

/// One object for the whole and one for each site.
std::vector<nlohmann::ordered_json> site_costs_json(const SiteCosts& costs);
void write_site_costs(std::ostream& out, const SiteCosts& costs, std::size_t sites_max);

}  // namespace shootdown::report
