// SPDX-License-Identifier: MIT
// `list profiles`: what there is, and every figure of one with its range, status and source.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/exit_code.hpp"
#include "cli/time.hpp"
#include "machine/timed/profile_toml.hpp"
#include "report/time.hpp"

namespace shootdown::cli {

namespace {

using nlohmann::ordered_json;
using timed::Dimension;
using timed::ParamInfo;
using timed::Profile;

ordered_json profile_json(const Profile& profile) {
  ordered_json figures = ordered_json::object();
  for (const ParamInfo& p : timed::param_infos) {
    const timed::Figure& f = profile[p.param];
    figures[fmt::format("{}.{}", p.group, p.key)] = {
        {"value", f.value},
        {"unit", p.dimension == Dimension::time ? "ns" : "1"},
        {"low", f.low},
        {"high", f.high},
        {"status", timed::status_names[static_cast<std::size_t>(f.status)]},
        {"source", f.source}};
  }
  return {{"command", "list"},
          {"profile", profile.name},
          {"title", profile.title},
          {"cpus", profile.cpus},
          {"sockets", profile.sockets},
          {"range_tlbi", profile.range_tlbi},
          {"bbm", timed::bbm_names[static_cast<std::size_t>(profile.bbm)]},
          {"digest", profile.digest()},
          {"figures", std::move(figures)}};
}

void write_figures(std::ostream& out, const Profile& profile) {
  out << fmt::format(
      "{}: {}\n{} CPUs, {} socket{}, {}\n{}\n\n", profile.name, profile.title, profile.cpus, profile.sockets,
      profile.sockets == 1 ? "" : "s",
      report::readable_features(profile.range_tlbi, timed::bbm_names[static_cast<std::size_t>(profile.bbm)]),
      report::readable_figures(profile.status_counts()));
  for (const ParamInfo& p : timed::param_infos) {
    const timed::Figure& f = profile[p.param];
    out << fmt::format("{:<36}{:>9}  {:<19}  {}\n", fmt::format("{}.{}", p.group, p.key),
                       readable(p, f.value), fmt::format("{} .. {}", readable(p, f.low), readable(p, f.high)),
                       p.meaning);
    out << fmt::format("{:<36}{}: {}\n", "", timed::status_names[static_cast<std::size_t>(f.status)],
                       f.source);
  }
}

int write_one(const std::string& spec, bool json, bool figures, std::ostream& out, std::ostream& err) {
  const auto profile = timed::load_profile(spec);
  if (!profile) {
    err << "shootdown: " << profile.error().text() << '\n';
    if (!profile.error().missing) return exit_code::bad_input;
    return profile.error().file == "--profile" ? exit_code::usage : exit_code::no_input;
  }
  if (json)
    out << profile_json(*profile).dump() << '\n';
  else if (figures)
    write_figures(out, *profile);
  else
    out << fmt::format("{:<18}{}\n", profile->name, profile->title);
  return 0;
}

}  // namespace

int list_profiles(const std::string& spec, const std::string& format, std::ostream& out, std::ostream& err) {
  const bool json = format == "json";
  if (!spec.empty()) return write_one(spec, json, true, out, err);
  for (const timed::BuiltinProfile& builtin : timed::builtin_profiles())
    if (const int code = write_one(std::string(builtin.name), json, false, out, err); code != 0) return code;
  return 0;
}

}  // namespace shootdown::cli
