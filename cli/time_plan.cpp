// SPDX-License-Identifier: MIT
// Reading `time` options.
#include "cli/time_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <thread>

#include "cli/exit_code.hpp"
#include "cli/suggest.hpp"
#include "machine/timed/profile_toml.hpp"

namespace shootdown::cli {

namespace {

using scenario::HotRemoveSpec;
template <typename T>
using Read = tl::expected<T, Refusal>;

tl::unexpected<Refusal> refuse(std::string message, int code = exit_code::usage) {
  return tl::unexpected(Refusal{code, std::move(message)});
}

constexpr std::uint64_t max_sweep_steps = 4096;
constexpr unsigned max_cpus = 4096;

std::vector<std::string> with_all(std::vector<std::string> names) {
  names.emplace_back("all");
  return names;
}

Read<std::vector<mm::Strategy>> read_strategies(const std::vector<std::string>& names) {
  std::vector<mm::Strategy> chosen;
  std::vector<std::string> known;
  for (const mm::Strategy& s : mm::strategies) known.emplace_back(s.name);
  for (const std::string& name : names) {
    if (name == "all") continue;
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) return refuse(unknown_name("strategy", name, with_all(known)));
    chosen.push_back(mm::strategies[static_cast<std::size_t>(found - known.begin())]);
  }
  if (!chosen.empty()) return chosen;
  for (const mm::Strategy& s : mm::strategies)
    if (s.tables != mm::TableFree::before_flush) chosen.push_back(s);  // B with a bug costs what B costs
  return chosen;
}

Read<std::vector<vmsa::Regime>> read_regimes(const TimeOptions& o) {
  std::vector<vmsa::Regime> chosen;
  const bool all_bits = o.va_bits == "all";
  const std::string bits = o.va_bits.empty() ? "48" : o.va_bits;
  std::string there;
  for (const vmsa::Regime& r : vmsa::regimes) {
    const std::string granule = fmt::format("{}k", r.page_size() >> 10);
    if (o.granule != "all" && o.granule != granule) continue;
    there += fmt::format("{}{}", there.empty() ? "" : ", ", r.va_bits);
    if (all_bits || std::to_string(r.va_bits) == bits) chosen.push_back(r);
  }
  if (there.empty()) return refuse(unknown_name("granule", o.granule, {"4k", "16k", "64k", "all"}));
  if (chosen.empty())
    return refuse(fmt::format("no {}-bit VA with granule {}; there are {}, all", bits, o.granule, there));
  return chosen;
}

/// Linux maps blocks only where break-before-make is not needed to split them later (can_set_direct_map()).
mm::Mapping default_mapping(const timed::Profile& profile, const vmsa::Regime& r) {
  if (profile.bbm != vmsa::BbmLevel::level2_no_abort) return mm::mappings[0];
  return mm::mappings[r.page_shift == 12 ? 2 : 3];
}

Read<std::optional<mm::Mapping>> read_mapping(const std::string& name) {
  if (name.empty()) return std::nullopt;
  std::vector<std::string> known;
  for (const mm::Mapping& m : mm::mappings) {
    if (name == m.name) return m;
    known.emplace_back(m.name);
  }
  return refuse(unknown_name("mapping", name, known));
}

Read<timed::Load> read_load(const std::string& name) {
  std::vector<std::string> known;
  for (const timed::LoadInfo& load : timed::loads) known.emplace_back(load.name);
  const auto found = std::find(known.begin(), known.end(), name);
  if (found == known.end()) return refuse(unknown_name("load", name, known));
  return static_cast<timed::Load>(found - known.begin());
}

Read<bool> read_switch(const char* option, const std::string& text, const char* yes, const char* no) {
  if (text == yes) return true;
  if (text == no) return false;
  return refuse(fmt::format("{} is {} or {}, not '{}'", option, yes, no, text));
}

/// What is swept, or the single values that were given.
struct Axes {
  std::vector<std::uint64_t> cpus;
  std::vector<std::uint64_t> memory;
};

Read<Axes> read_axes(const TimeOptions& o, const timed::Profile& profile) {
  Axes axes;
  for (const std::string& sweep : o.sweeps) {
    const std::size_t equals = sweep.find('=');
    const std::string name = sweep.substr(0, equals);
    if (equals == std::string::npos || (name != "cpus" && name != "memory"))
      return refuse(fmt::format("--sweep {}: expected cpus=FROM..TO or memory=FROM..TO", sweep));
    const auto steps = parse_steps(sweep.substr(equals + 1));
    if (!steps) return refuse(fmt::format("--sweep {}: {}", sweep, steps.error()));
    (name == "cpus" ? axes.cpus : axes.memory) = *steps;
  }
  if (axes.cpus.empty()) {
    axes.cpus = {profile.cpus};
    if (!o.cpus.empty()) {
      const auto one = parse_steps(o.cpus);
      if (!one || one->size() != 1) return refuse(fmt::format("--cpus {}: expected one number", o.cpus));
      axes.cpus = *one;
    }
  }
  for (std::uint64_t n : axes.cpus)
    if (n < 1 || n > max_cpus) return refuse(fmt::format("{} CPUs: expected 1 to {}", n, max_cpus));
  if (!axes.memory.empty()) return axes;
  const auto memory = parse_size(o.memory);
  if (!memory) return refuse(fmt::format("--memory {}: {}", o.memory, memory.error()));
  axes.memory = {*memory};
  return axes;
}

Read<unsigned> read_sockets(const std::string& text, const std::vector<TimeJob>& jobs) {
  if (text.empty()) return 0u;
  constexpr unsigned most = 64;  // what a profile may say
  unsigned n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n < 1 || n > most)
    return refuse(fmt::format("--sockets {}: expected a number from 1 to {}", text, most));
  for (const TimeJob& job : jobs)
    for (unsigned cpus : job.cpus)
      if (cpus < n) return refuse(fmt::format("--sockets {}: more than there are CPUs ({})", n, cpus));
  return n;
}

Read<HotRemoveSpec> read_spec(const TimeOptions& o, const timed::Profile& profile) {
  HotRemoveSpec spec{};
  const auto erratum = read_switch("--erratum", o.erratum, "on", "off");
  if (!erratum) return tl::unexpected(erratum.error());
  const auto blocks = read_switch("--vmemmap", o.vmemmap.empty() ? "block" : o.vmemmap, "block", "pages");
  if (!blocks) return tl::unexpected(blocks.error());
  spec.vmemmap_blocks = *blocks;
  spec.blocks_one_by_one = o.blocks_one_by_one;
  spec.range_tlbi = profile.range_tlbi;
  spec.repeat_tlbi = *erratum;
  return spec;
}

Read<std::vector<TimeJob>> make_jobs(const TimeOptions& o, const timed::Profile& profile) {
  const auto strategies = read_strategies(o.strategies);
  if (!strategies) return tl::unexpected(strategies.error());
  const auto regimes = read_regimes(o);
  if (!regimes) return tl::unexpected(regimes.error());
  const auto mapping = read_mapping(o.mapping);
  if (!mapping) return tl::unexpected(mapping.error());
  const auto axes = read_axes(o, profile);
  if (!axes) return tl::unexpected(axes.error());
  auto spec = read_spec(o, profile);
  if (!spec) return tl::unexpected(spec.error());
  const std::vector<unsigned> cpus(axes->cpus.begin(), axes->cpus.end());
  std::vector<TimeJob> jobs;
  for (const vmsa::Regime& regime : *regimes)
    for (std::uint64_t memory : axes->memory)
      for (const mm::Strategy& strategy : *strategies) {
        spec->regime = regime;
        spec->memory = timed::Bytes(memory);
        spec->strategy = strategy;
        spec->mapping = mapping->value_or(default_mapping(profile, regime));
        if (o.vmemmap == "block" && !regime.vmemmap_uses_blocks())
          return refuse(fmt::format("--vmemmap block: with {}K pages vmemmap is always mapped by pages",
                                    regime.page_size() >> 10));
        if (const auto problem = scenario::problem_of(*spec)) return refuse(*problem);
        jobs.push_back({*spec, cpus});
      }
  return jobs;
}

}  // namespace

tl::expected<std::uint64_t, std::string> parse_size(const std::string& text) {
  const char* const end = text.data() + text.size();
  double number = 0;
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  std::string unit(rest, end);
  constexpr std::string_view units = "KMGT";
  if (unit.size() == 2 && unit[1] == 'B' && units.find(unit[0]) != std::string_view::npos)
    return tl::unexpected(
        fmt::format("{0} is decimal, and memory comes in powers of two; write {1}{2} for {1} {2}iB", unit,
                    std::string(text.data(), rest), unit[0]));
  if (unit.size() == 3 && unit.ends_with("iB")) unit.resize(1);
  if (unit == "B") unit.clear();
  const std::size_t power = unit.empty() ? 0 : units.find(unit) + 1;
  const bool unit_known = unit.empty() || (unit.size() == 1 && power != 0);
  if (error != std::errc() || !unit_known || !std::isfinite(number) || number < 0)
    return tl::unexpected(std::string("expected a size such as 480G, 4T or 128M"));
  const double bytes = number * static_cast<double>(std::uint64_t{1} << (10 * power));
  if (bytes >= 0x1p62) return tl::unexpected(std::string("too large"));
  return static_cast<std::uint64_t>(bytes);
}

tl::expected<std::vector<std::uint64_t>, std::string> parse_steps(const std::string& text) {
  std::vector<std::uint64_t> steps;
  const std::size_t dots = text.find("..");
  if (dots == std::string::npos) {
    for (std::size_t at = 0; at <= text.size();) {
      const std::size_t comma = std::min(text.find(',', at), text.size());
      const auto one = parse_size(text.substr(at, comma - at));
      if (!one) return tl::unexpected(one.error());
      steps.push_back(*one);
      at = comma + 1;
    }
    return steps;
  }
  const std::size_t plus = std::min(text.find('+', dots), text.size());
  const std::string parts[] = {text.substr(0, dots), text.substr(dots + 2, plus - dots - 2),
                               plus < text.size() ? text.substr(plus + 1) : "0"};
  std::vector<std::uint64_t> values;
  for (const std::string& part : parts) {
    if (part.empty()) return tl::unexpected(std::string("expected FROM..TO, FROM..TO+STEP or A,B,C"));
    const auto value = parse_size(part);
    if (!value) return tl::unexpected(fmt::format("{}: {}", part, value.error()));
    values.push_back(*value);
  }
  const std::uint64_t from = values[0], to = values[1], step = values[2];
  if (from == 0 || from > to) return tl::unexpected(std::string("the range is empty or begins at 0"));
  if (plus < text.size() && step == 0) return tl::unexpected(std::string("a step of 0 leads nowhere"));
  for (std::uint64_t v = from; v < to; v = step == 0 ? v * 2 : v + step) {
    steps.push_back(v);
    if (steps.size() >= max_sweep_steps)
      return tl::unexpected(fmt::format("more than {} steps", max_sweep_steps));
  }
  steps.push_back(to);
  return steps;
}

tl::expected<TimePlan, Refusal> make_time_plan(const TimeOptions& o) {
  if (o.scenario != "hot-remove") return refuse(unknown_name("scenario", o.scenario, {"hot-remove"}));
  if (o.format != "text" && o.format != "json")
    return refuse(fmt::format("time writes text or json, not '{}'", o.format));
  if (o.samples > 1'000'000) return refuse("--samples: expected 0 to 1000000");
  if (!o.plot.empty() && o.sweeps.empty()) return refuse("--plot needs a --sweep to plot");
  auto profile = timed::load_profile(o.profile);
  if (!profile) {
    const timed::ProfileError& e = profile.error();
    return refuse(e.text(), !e.missing              ? exit_code::bad_input
                            : e.file == "--profile" ? exit_code::usage
                                                    : exit_code::no_input);
  }
  const auto load = read_load(o.load);
  if (!load) return tl::unexpected(load.error());
  auto jobs = make_jobs(o, *profile);
  if (!jobs) return tl::unexpected(jobs.error());
  const auto sockets = read_sockets(o.sockets, *jobs);
  if (!sockets) return tl::unexpected(sockets.error());
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  return TimePlan{.profile = std::move(*profile),
                  .load = *load,
                  .sampling = {o.seed, o.samples},
                  .sockets = *sockets,
                  .jobs = std::move(*jobs),
                  .sweep = !o.sweeps.empty(),
                  .workers = o.jobs == 0 ? cores : o.jobs};
}

}  // namespace shootdown::cli
