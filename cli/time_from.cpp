// SPDX-License-Identifier: MIT
// `time --from`: reads an audit's call sites and has them priced.
#include <fmt/format.h>

#include <algorithm>

#include "cli/audit_file.hpp"
#include "cli/exit_code.hpp"
#include "cli/time_plan.hpp"
#include "report/time.hpp"
#include "scenario/site_costs.hpp"

namespace shootdown::cli {
namespace {

using nlohmann::ordered_json;
using report::SiteCost;
template <typename T>
using Read = tl::expected<T, Refusal>;

constexpr std::size_t sites_shown = 20;

tl::unexpected<Refusal> refuse(int code, std::string message) {
  return tl::unexpected(Refusal{code, std::move(message)});
}

/// Options that say which removal to run; there is none here.
Read<void> without_a_removal(const TimeOptions& o) {
  const TimeOptions none;
  const std::pair<const char*, bool> given[]{{"--strategy", !o.strategies.empty()},
                                             {"--granule", o.granule != none.granule},
                                             {"--va-bits", !o.va_bits.empty()},
                                             {"--memory", o.memory != none.memory},
                                             {"--mapping", !o.mapping.empty()},
                                             {"--vmemmap", !o.vmemmap.empty()},
                                             {"--erratum", o.erratum != none.erratum},
                                             {"--load", o.load != none.load},
                                             {"--blocks-one-by-one", o.blocks_one_by_one},
                                             {"--sweep", !o.sweeps.empty()},
                                             {"--plot", !o.plot.empty()},
                                             {"--output", !o.output.empty()}};
  for (const auto& [option, is_given] : given)
    if (is_given)
      return refuse(exit_code::usage,
                    fmt::format("{} says nothing with --from: what was done is in the audit", option));
  return {};
}

/// Adds one entry of `call_sites` to its place; false when it is not of the documented shape.
bool add_entry(const ordered_json& entry, std::vector<SiteCost>& sites) {
  if (!entry.is_object() || !entry.contains("operation") || !entry["operation"].is_string() ||
      !entry.contains("function") || !entry["function"].is_string() || !entry.contains("count") ||
      !entry["count"].is_number_unsigned())
    return false;
  SiteCost place;
  place.function = entry["function"].get<std::string>();
  const ordered_json callers = entry.value("callers", ordered_json::array());
  if (!callers.is_array()) return false;
  for (const ordered_json& caller : callers) {
    if (!caller.is_string()) return false;
    place.callers.push_back(caller.get<std::string>());
  }
  auto found = std::ranges::find_if(
      sites, [&](const SiteCost& s) { return s.function == place.function && s.callers == place.callers; });
  if (found == sites.end()) found = sites.insert(sites.end(), std::move(place));
  const std::string operation = entry["operation"].get<std::string>();
  const std::uint64_t count = entry["count"].get<std::uint64_t>();
  if (operation == "SGI") found->counts.sgi += count;
  for (std::size_t i = 0; i < machine::dsb_names.size(); ++i)
    if (operation == std::string("DSB ") + machine::dsb_names[i]) found->counts.dsb[i] += count;
  for (std::size_t i = 0; i < vmsa::tlbi_ops.size(); ++i)
    if (operation == vmsa::tlbi_name(vmsa::tlbi_ops[i]).c_str()) {
      found->counts.tlbi[i] += count;
      if (vmsa::tlbi_ops[i].range && entry.contains("pages") && entry["pages"].is_number_unsigned())
        found->pages += entry["pages"].get<std::uint64_t>();
    }
  return true;
}

Read<std::vector<SiteCost>> sites_of(const ordered_json& audit, const std::string& path) {
  std::vector<SiteCost> sites;
  const auto entries = audit.find("call_sites");
  if (entries == audit.end() || !entries->is_array() || entries->empty())
    return refuse(exit_code::bad_input, fmt::format("{}: the audit has no call sites to price", path));
  for (const ordered_json& entry : *entries)
    if (!add_entry(entry, sites))
      return refuse(exit_code::bad_input,
                    fmt::format("{}: a call site without operation, function and count", path));
  return sites;
}

std::string text_of(const ordered_json& audit, const char* key) {
  const auto found = audit.find(key);
  return found != audit.end() && found->is_string() ? found->get<std::string>() : "?";
}

Read<report::SiteCosts> costs_of(const TimeOptions& o, const TimePlan& plan) {
  const auto audit = read_audit(o.from);
  if (!audit) return tl::unexpected(audit.error());
  auto sites = sites_of(*audit, o.from);
  if (!sites) return tl::unexpected(sites.error());
  const unsigned cpus = plan.jobs.front().cpus.front();
  const timed::MachineSetup on = plan.priced_on(cpus).setup();
  const timed::Profile& profile = plan.profile;
  report::SiteCosts costs;
  costs.audit = fmt::format("{} ({}), workload {}", text_of(*audit, "kernel"), text_of(*audit, "release"),
                            text_of(*audit, "workload"));
  costs.machine = fmt::format(
      "{}: {} CPU{}, {} socket{}, {}", profile.name, cpus, cpus == 1 ? "" : "s", on.sockets,
      on.sockets == 1 ? "" : "s",
      report::readable_features(profile.range_tlbi, timed::bbm_names[static_cast<std::size_t>(profile.bbm)]));
  costs.profile = profile.name;
  costs.profile_digest = profile.digest();
  costs.cpus = cpus;
  costs.sockets = on.sockets;
  costs.figures = report::readable_figures(profile.status_counts());
  costs.sampling = plan.sampling;
  costs.sites = std::move(*sites);
  scenario::price_sites(costs, profile, on);
  return costs;
}

}  // namespace

int run_time_from(const TimeOptions& o, std::ostream& out, std::ostream& err) {
  const auto fail = [&](const Refusal& refusal) {
    err << "shootdown: " << refusal.message << '\n';
    return refusal.exit_code;
  };
  if (const auto fits = without_a_removal(o); !fits) return fail(fits.error());
  const auto plan = make_time_plan(o);
  if (!plan) return fail(plan.error());
  const auto costs = costs_of(o, *plan);
  if (!costs) return fail(costs.error());
  if (o.format == "json")
    for (const ordered_json& line : report::site_costs_json(*costs)) out << line.dump() << '\n';
  else
    report::write_site_costs(out, *costs, sites_shown);
  return exit_code::holds;
}

}  // namespace shootdown::cli
