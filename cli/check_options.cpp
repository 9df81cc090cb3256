// SPDX-License-Identifier: MIT
#include "cli/check_options.hpp"

#include <algorithm>
#include <charconv>
#include <thread>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/suggest.hpp"
#include "cli/time_plan.hpp"

namespace shootdown::cli {
namespace {

using scenario::Extent;
using scenario::HotRemoveConfig;
using scenario::Path;
using scenario::VmemmapKind;

template <typename T>
using Result = tl::expected<T, Refusal>;

tl::unexpected<Refusal> usage(std::string message) { return tl::unexpected(Refusal{64, std::move(message)}); }

bool is_all(const std::vector<std::string>& list) {
  return list.empty() || (list.size() == 1 && list[0] == "all");
}

/// The values that an option selects by name; all of them when it was not given or says `all`.
template <typename T>
struct Named {
  std::string name;
  T value;
};
template <typename T>
Result<std::vector<T>> select(const char* what, const std::vector<std::string>& given,
                              const std::vector<Named<T>>& known) {
  std::vector<T> chosen;
  if (is_all(given)) {
    for (const auto& k : known) chosen.push_back(k.value);
    return chosen;
  }
  std::vector<std::string> names;
  for (const auto& k : known) names.push_back(k.name);
  for (const std::string& g : given) {
    const auto it = std::find_if(known.begin(), known.end(), [&](const auto& k) { return k.name == g; });
    if (it == known.end()) return usage(unknown_name(what, g, names));
    if (std::count(given.begin(), given.end(), g) > 1)
      return usage(fmt::format("{} '{}' is given twice", what, g));
    chosen.push_back(it->value);
  }
  return chosen;
}

/// One value by name.
template <typename T>
Result<T> select_one(const char* what, const std::string& given, const std::vector<Named<T>>& known,
                     T otherwise) {
  if (given.empty()) return otherwise;
  if (given == "all" &&
      std::none_of(known.begin(), known.end(), [](const auto& k) { return k.name == "all"; })) {
    std::vector<std::string> names;
    for (const auto& k : known) names.push_back(k.name);
    return usage(unknown_name(what, given, names));
  }
  auto chosen = select(what, {given}, known);
  if (!chosen) return tl::unexpected(chosen.error());
  return chosen->front();
}

Result<std::uint64_t> number(const char* what, const std::string& text, std::uint64_t low,
                             std::uint64_t high) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high)
    return usage(fmt::format("{} '{}': a number from {} to {} is needed", what, text, low, high));
  return value;
}

std::vector<Named<mm::Strategy>> strategies() {
  std::vector<Named<mm::Strategy>> all;
  for (const mm::Strategy& s : mm::strategies) all.push_back({s.name, s});
  return all;
}
std::vector<Named<mm::Mapping>> mappings() {
  std::vector<Named<mm::Mapping>> all;
  for (const mm::Mapping& m : mm::mappings) all.push_back({m.name, m});
  return all;
}

Result<std::vector<vmsa::Regime>> regimes(const CheckOptions& o) {
  const std::vector<std::string> granule = o.granules.empty() ? std::vector<std::string>{"4k"} : o.granules;
  const auto shifts = select<unsigned>("granule", granule, {{"4k", 12}, {"16k", 14}, {"64k", 16}});
  if (!shifts) return tl::unexpected(shifts.error());
  if (!o.va_bits.empty() && o.va_bits != "all")
    if (const auto n = number("--va-bits", o.va_bits, 36, 52); !n) return tl::unexpected(n.error());
  std::vector<vmsa::Regime> chosen;
  std::string there_are;
  for (unsigned shift : *shifts)
    for (const vmsa::Regime& r : vmsa::regimes) {
      if (r.page_shift != shift) continue;
      there_are +=
          fmt::format("{}{} bits with {}k", there_are.empty() ? "" : ", ", r.va_bits, r.page_size() / 1024);
      const unsigned usual = shift == 14 ? 47 : 48;
      const bool wanted = o.va_bits == "all" ||
                          (o.va_bits.empty() ? r.va_bits == usual : std::to_string(r.va_bits) == o.va_bits);
      if (wanted) chosen.push_back(r);
    }
  if (chosen.empty()) return usage(fmt::format("no such VA size: {} (there are: {})", o.va_bits, there_are));
  return chosen;
}

Result<machine::Features> features(const CheckOptions& o) {
  if (o.features.empty()) return machine::Features{};
  machine::Features f{.range_tlbi = false, .hardware_access_flag = false};
  for (const std::string& name : o.features) {
    if (name == "none" && o.features.size() == 1) return f;
    if (name == "tlbirange")
      f.range_tlbi = true;
    else if (name == "haft")
      f.hardware_table_flag = true;
    else if (name == "hafdbs")
      f.hardware_access_flag = true;
    else if (name == "repeat-tlbi")
      f.repeat_tlbi = true;
    else if (name == "bbm1")
      f.bbm = vmsa::BbmLevel::level1;
    else if (name == "bbm2")
      f.bbm = vmsa::BbmLevel::level2;
    else if (name == "bbm2-noabort")
      f.bbm = vmsa::BbmLevel::level2_no_abort;
    else
      return usage(unknown_name("feature", name, feature_options));
  }
  return f;
}

/// Which kinds of mapping are looked at: the columns of the matrix.
struct Columns {
  std::vector<Path> paths;
  std::vector<mm::Mapping> mappings;
  std::vector<VmemmapKind> vmemmap;
  std::vector<Extent> extents;
  bool vmemmap_given = false;
  bool extents_given = false;

  std::vector<HotRemoveConfig> of(const HotRemoveConfig& base) const {
    std::vector<HotRemoveConfig> all;
    for (Path path : paths)
      for (const mm::Mapping& m : path == Path::vmemmap ? std::vector{mm::mappings[0]} : mappings)
        for (VmemmapKind v : path == Path::linear ? std::vector{VmemmapKind::pages} : vmemmap) {
          HotRemoveConfig c = base;
          c.path = path;
          c.mapping = m;
          c.vmemmap = v;
          const auto native = c.real.vmemmap_uses_blocks() ? VmemmapKind::block : VmemmapKind::pages;
          // Not asked for: blocks where there are none; for both regions at once, what is no longer native.
          if (!vmemmap_given && v != native && (path == Path::both || v == VmemmapKind::block)) continue;
          for (Extent extent : extents) {
            c.extent = extent;
            const bool asked = extents_given || extent == Extent::across;
            if (asked || !scenario::refuse(c)) all.push_back(c);
          }
        }
    return all;
  }
};

Result<Columns> columns(const CheckOptions& o) {
  Columns c;
  const bool one_side = o.mappings.empty() != o.vmemmap.empty();
  const std::string path = !o.path.empty()      ? o.path
                           : o.memmap_on_memory ? "both"
                           : !one_side          ? "matrix"
                           : o.vmemmap.empty()  ? "linear"
                                                : "vmemmap";
  if (path == "matrix")
    c.paths = {Path::linear, Path::vmemmap};
  else if (path == "all")
    c.paths = {Path::linear, Path::vmemmap, Path::both};
  else {
    const auto chosen = select_one<Path>(
        "path", path, {{"linear", Path::linear}, {"vmemmap", Path::vmemmap}, {"both", Path::both}},
        Path::linear);
    if (!chosen) return tl::unexpected(chosen.error());
    c.paths = {*chosen};
  }
  if (c.paths == std::vector{Path::linear} && !o.vmemmap.empty())
    return usage("--vmemmap says nothing about --path linear");
  if (c.paths == std::vector{Path::vmemmap} && !o.mappings.empty())
    return usage("--mapping says nothing about --path vmemmap");
  // Both regions at once: the mapping of today's servers, unless others are asked for.
  const bool usual = c.paths == std::vector{Path::both} && o.mappings.empty();
  const std::vector<std::string> usual_mappings =
      o.memmap_on_memory ? std::vector<std::string>{"blocks", "contpmd"} : std::vector<std::string>{"pages"};
  const auto m = select("mapping", usual ? usual_mappings : o.mappings, mappings());
  if (!m) return tl::unexpected(m.error());
  c.mappings = *m;
  const std::vector<std::string> given =
      o.vmemmap.empty() ? std::vector<std::string>{} : std::vector{o.vmemmap};
  const auto v =
      select<VmemmapKind>("vmemmap", given, {{"block", VmemmapKind::block}, {"pages", VmemmapKind::pages}});
  if (!v) return tl::unexpected(v.error());
  c.vmemmap = *v;
  c.vmemmap_given = !o.vmemmap.empty();
  const auto e =
      select<Extent>("extent", o.extents,
                     {{"across", Extent::across}, {"inside", Extent::inside}, {"long", Extent::long_range}});
  if (!e) return tl::unexpected(e.error());
  c.extents = *e;
  c.extents_given = !is_all(o.extents);
  return c;
}

/// What all combinations have in common.
Result<HotRemoveConfig> base_config(const CheckOptions& o) {
  HotRemoveConfig c;
  if (std::find(scenario_names.begin(), scenario_names.end(), o.scenario) == scenario_names.end())
    return usage(unknown_name("scenario", o.scenario, scenario_names));
  if (o.scenario == "hot-add") c.experiment = scenario::Experiment::hot_add;
  const auto cpus = number("--cpus", o.cpus.empty() ? "3" : o.cpus, 2, 4);
  if (!cpus) return tl::unexpected(cpus.error());
  c.cpus = static_cast<unsigned>(*cpus);
  using vmsa::LayoutAge;
  const auto layout = select_one<LayoutAge>("layout", o.layout,
                                            {{"today", LayoutAge::today}, {"old", LayoutAge::old}}, c.layout);
  if (!layout) return tl::unexpected(layout.error());
  c.layout = *layout;
  using mm::TableRule;
  const auto rule = select_one<TableRule>(
      "table rule", o.table_rule,
      {{"floor-ceiling", TableRule::floor_ceiling}, {"v7", TableRule::v7}, {"any", TableRule::any}},
      c.table_rule);
  if (!rule) return tl::unexpected(rule.error());
  c.table_rule = *rule;
  using scenario::Geometry;
  const auto geometry = select_one<Geometry>(
      "geometry", o.geometry, {{"scaled", Geometry::scaled}, {"full", Geometry::full}}, c.geometry);
  if (!geometry) return tl::unexpected(geometry.error());
  c.geometry = *geometry;
  c.memmap_on_memory = o.memmap_on_memory;
  const auto f = features(o);
  if (!f) return tl::unexpected(f.error());
  c.features = *f;
  return c;
}

/// What searches may use, each: all of them together three quarters of what the host has free.
Result<explore::Bounds> bounds(const CheckOptions& o) {
  explore::Bounds b;
  if (!o.max_states.empty()) {
    const auto n = number("--max-states", o.max_states, 1, 4'000'000'000);
    if (!n) return tl::unexpected(n.error());
    b.states = *n;
  }
  if (!o.max_memory.empty()) {
    const auto bytes = parse_size(o.max_memory);
    if (!bytes) return usage("--max-memory: " + bytes.error());
    if (*bytes < std::uint64_t{16} << 20)
      return usage(fmt::format("--max-memory {}: at least 16M is needed", o.max_memory));
    b.bytes = *bytes;
    return b;
  }
  const auto available = static_cast<std::uint64_t>(sysconf(_SC_AVPHYS_PAGES)) *
                         static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const unsigned jobs = o.jobs != 0 ? o.jobs : std::max(1u, std::thread::hardware_concurrency());
  b.bytes = std::clamp(available / 4 * 3 / jobs, std::uint64_t{256} << 20, b.bytes);
  return b;
}

}  // namespace

tl::expected<report::CheckPlan, Refusal> make_check_plan(const CheckOptions& o) {
  report::CheckPlan plan;
  plan.scenario = o.scenario;
  plan.verbose = o.verbose;
  const auto base = base_config(o);
  if (!base) return tl::unexpected(base.error());
  const auto chosen_strategies = select("strategy", o.strategies, strategies());
  if (!chosen_strategies) return tl::unexpected(chosen_strategies.error());
  const auto chosen_regimes = regimes(o);
  if (!chosen_regimes) return tl::unexpected(chosen_regimes.error());
  const auto chosen_columns = columns(o);
  if (!chosen_columns) return tl::unexpected(chosen_columns.error());
  const auto b = bounds(o);
  if (!b) return tl::unexpected(b.error());
  plan.bounds = *b;
  for (const vmsa::Regime& r : *chosen_regimes)
    for (const mm::Strategy& s : *chosen_strategies) {
      HotRemoveConfig c = *base;
      c.real = r;
      c.strategy = s;
      for (const HotRemoveConfig& one : chosen_columns->of(c)) {
        if (const auto reason = scenario::refuse(one)) {
          if (plan.left_out++ == 0) plan.left_out_reason = *reason;
        } else {
          plan.configs.push_back(one);
        }
      }
    }
  if (plan.configs.empty()) return usage("there is no such combination: " + plan.left_out_reason);
  return plan;
}

}  // namespace shootdown::cli
