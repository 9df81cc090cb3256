// SPDX-License-Identifier: MIT
// The `list` command: the names that other commands take, and what they stand for.
#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/audit.hpp"
#include "cli/check_options.hpp"
#include "cli/list.hpp"
#include "cli/suggest.hpp"
#include "cli/time.hpp"
#include "report/check/describe.hpp"

namespace shootdown::cli {
namespace {

using nlohmann::ordered_json;

struct Item {
  std::string name;
  std::string meaning;
  std::string group = {};  ///< harm or cause
};
using Items = std::vector<Item>;

Items scenarios() {
  return {
      {"hot-remove",
       "one CPU removes two sections of memory; others use a neighbour and vmalloc, dump the kernel's "
       "tables, and take over whatever is released"},
      {"hot-add", "one CPU adds the memory, with allocations that may fail half-way, and removes it again"}};
}

Items strategies() {
  Items all;
  for (const mm::Strategy& s : mm::strategies) all.push_back({s.name, s.title});
  return all;
}

Items mappings() {
  return {{"pages", "base pages only: rodata=full without BBML2, the default on Neoverse N1 to V2 and Grace"},
          {"contpte", "base pages in contiguous groups"},
          {"blocks", "the largest blocks that fit"},
          {"contpmd", "level 2 blocks in contiguous groups"}};
}

/// Which commands can find a harm; what one search can is said with its result.
const char* finders(const shadow::HarmText& h) {
  if (h.by_check && h.by_audit) return "check, audit";
  return h.by_check ? "check" : h.by_audit ? "audit" : "nobody yet";
}

Items rules() {
  Items all;
  for (std::size_t i = 1; i < shadow::harm_texts.size(); ++i)
    all.push_back({shadow::harm_texts[i].name,
                   fmt::format("{} ({})", shadow::harm_texts[i].meaning, finders(shadow::harm_texts[i])),
                   "harm"});
  for (std::size_t i = 1; i < shadow::cause_texts.size(); ++i)
    all.push_back({shadow::cause_texts[i].name, shadow::cause_texts[i].meaning, "cause"});
  return all;
}

Items regimes() {
  Items all;
  for (const vmsa::Regime& r : vmsa::regimes)
    all.push_back({fmt::format("{}/{}", report::granule_name(r), r.va_bits),
                   fmt::format("{} levels, {} entries a table, {} in the root{}", r.level_count(),
                               r.entries_per_table(), r.entry_count(r.root_level()),
                               r.lpa2  ? ", FEAT_LPA2"
                               : r.lva ? ", FEAT_LVA"
                                       : "")});
  return all;
}

Items features() {
  return {{"tlbirange", "FEAT_TLBIRANGE: range TLBI (default)"},
          {"hafdbs", "FEAT_HAFDBS: walks set access flags (default)"},
          {"repeat-tlbi", "an erratum: each broadcast completion costs one more TLBI and DSB"},
          {"bbm1", "FEAT_BBM level 1"},
          {"bbm2", "FEAT_BBM level 2"},
          {"bbm2-noabort", "FEAT_BBM level 2 on a CPU that never takes a conflict abort"}};
}

struct Kind {
  const char* name;
  const char* singular;
  Items (*items)();
};
constexpr std::array<Kind, 6> kinds{{{"scenarios", "scenario", scenarios},
                                     {"strategies", "strategy", strategies},
                                     {"mappings", "mapping", mappings},
                                     {"rules", "rule", rules},
                                     {"regimes", "regime", regimes},
                                     {"features", "feature", features}}};

void write(const Kind& kind, const std::string& format, Session& session) {
  const Items items = kind.items();
  if (format == "json") {
    for (const Item& i : items) {
      ordered_json j{{"command", "list"}, {"kind", kind.singular}, {"name", i.name}, {"meaning", i.meaning}};
      if (!i.group.empty()) j["kind"] = i.group;
      session.out << j.dump() << '\n';
    }
    return;
  }
  std::size_t width = 0;
  for (const Item& i : items) width = std::max(width, i.name.size());
  std::string group;
  for (const Item& i : items) {
    if (i.group != group) session.out << (group.empty() ? "" : "\n") << i.group << "s\n";
    group = i.group;
    session.out << fmt::format("  {:<{}}  {}\n", i.name, width, i.meaning);
  }
}

}  // namespace

void run_list(const ListOptions& o, Session& session) {
  if (o.format != "text" && o.format != "json")
    return session.fail({exit_code::usage, unknown_name("format", o.format, {"text", "json"})});
  if (o.what == "profiles") {
    session.exit_code = list_profiles(o.profile, o.format, session.out, session.err);
    return;
  }
  if (o.what == "predictions") {
    session.exit_code = list_predictions(o.format, session.out);
    return;
  }
  if (o.what == "kernels") return list_kernels(o.format, session);
  if (o.what == "workloads") return list_workloads(o.format, session);
  std::vector<std::string> names;
  for (const Kind& kind : kinds) {
    names.push_back(kind.name);
    if (o.what == kind.name) return write(kind, o.format, session);
  }
  for (const char* other : {"profiles", "predictions", "kernels", "workloads"}) names.push_back(other);
  if (!o.what.empty()) return session.fail({exit_code::usage, unknown_name("kind of thing", o.what, names)});
  for (const Kind& kind : kinds) {
    if (o.format == "text") session.out << (&kind == kinds.data() ? "" : "\n") << kind.name << ":\n";
    write(kind, o.format, session);
  }
}

}  // namespace shootdown::cli
