// SPDX-License-Identifier: MIT
// The `boot` command: checks what was asked for, boots machine after machine, writes the results.
#include "cli/boot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "audit/qemu/version.hpp"
#include "cli/exit_code.hpp"
#include "cli/interrupt.hpp"
#include "cli/suggest.hpp"
#include "cli/time_plan.hpp"

namespace shootdown::cli {

namespace {

using scenario::BootCase;
template <typename T>
using Result = tl::expected<T, Refusal>;

constexpr unsigned max_cpus = 8;
constexpr unsigned default_timeout_s = 300;

tl::unexpected<Refusal> usage(std::string message) {
  return tl::unexpected(Refusal{exit_code::usage, std::move(message)});
}

bool is_all(const std::vector<std::string>& list) { return list.size() == 1 && list[0] == "all"; }

/// `given` if it is one of `known`, `otherwise` if it is empty.
Result<std::string> one_of(const char* what, const std::string& given, const std::vector<std::string>& known,
                           const char* otherwise) {
  if (given.empty()) return otherwise;
  if (std::find(known.begin(), known.end(), given) == known.end())
    return usage(unknown_name(what, given, known));
  return given;
}

Result<unsigned> number(const char* what, const std::string& text, unsigned low, unsigned high,
                        unsigned otherwise) {
  if (text.empty()) return otherwise;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high)
    return usage(fmt::format("{} '{}': a number from {} to {} is needed", what, text, low, high));
  return value;
}

template <typename Table>
std::vector<std::string> names(const Table& table) {
  std::vector<std::string> all;
  for (const auto& element : table) all.emplace_back(element.name);
  return all;
}

Result<std::vector<std::string>> strategies(const BootOptions& o) {
  const std::vector<std::string> known = names(mm::strategies);
  if (o.strategies.empty() || is_all(o.strategies)) return known;
  for (const std::string& s : o.strategies) {
    if (std::find(known.begin(), known.end(), s) == known.end())
      return usage(unknown_name("strategy", s, known));
    if (std::count(o.strategies.begin(), o.strategies.end(), s) > 1)
      return usage(fmt::format("strategy '{}' is given twice", s));
  }
  return o.strategies;
}

Result<std::vector<vmsa::Regime>> regimes(const BootOptions& o) {
  const std::vector<std::string> known{"4k", "16k", "64k"};
  const std::vector<std::string> granules = o.granules.empty()   ? std::vector<std::string>{"4k"}
                                            : is_all(o.granules) ? known
                                                                 : o.granules;
  std::vector<vmsa::Regime> chosen;
  std::string there;
  for (const std::string& granule : granules) {
    const auto found = std::find(known.begin(), known.end(), granule);
    if (found == known.end()) return usage(unknown_name("granule", granule, known));
    const unsigned shift = 12 + 2 * static_cast<unsigned>(found - known.begin());
    const std::string usual = shift == 14 ? "47" : "48";
    for (const vmsa::Regime& r : vmsa::regimes) {
      if (r.page_shift != shift) continue;
      const std::string bits = std::to_string(r.va_bits);
      there += fmt::format("{}{} with {}", there.empty() ? "" : ", ", bits, granule);
      if (o.va_bits == "all" || bits == (o.va_bits.empty() ? usual : o.va_bits)) chosen.push_back(r);
    }
  }
  if (chosen.empty())
    return usage(fmt::format("unknown VA size '{}' (there are: {}, all)", o.va_bits, there));
  return chosen;
}

/// What all machines of one command line have in common.
Result<BootCase> base_case(const BootOptions& o) {
  BootCase c;
  if (const auto s = one_of("scenario", o.scenario, {"hot-remove"}, "hot-remove"); !s)
    return tl::unexpected(s.error());
  if (const auto f = one_of("format", o.format, {"text", "json", "ktap"}, "text"); !f)
    return tl::unexpected(f.error());
  const auto chosen = strategies(o);
  if (!chosen) return tl::unexpected(chosen.error());
  const auto mapping = one_of("mapping", o.mapping, names(mm::mappings), "pages");
  if (!mapping) return tl::unexpected(mapping.error());
  const auto vmemmap = one_of("vmemmap", o.vmemmap, {"block", "pages"}, "block");
  if (!vmemmap) return tl::unexpected(vmemmap.error());
  const auto layout = one_of("layout", o.layout, {"today", "old"}, "today");
  if (!layout) return tl::unexpected(layout.error());
  const auto rule = one_of("table rule", o.table_rule, {"floor-ceiling", "v7"}, "floor-ceiling");
  if (!rule) return tl::unexpected(rule.error());
  const auto cpus = number("--cpus", o.cpus, 1, max_cpus, 4);
  if (!cpus) return tl::unexpected(cpus.error());
  const auto memory = parse_size(o.memory.empty() ? "1G" : o.memory);
  if (!memory) return usage(fmt::format("--memory {}: {}", o.memory, memory.error()));
  c.strategies = *chosen;
  c.mapping = *mapping;
  c.vmemmap_pages = *vmemmap == "pages";
  c.layout = *layout == "old" ? vmsa::LayoutAge::old : vmsa::LayoutAge::today;
  c.table_rule = *rule;
  c.cpus = *cpus;
  c.memory_bytes = *memory;
  c.use_range_tlbi = !o.no_range_tlbi;
  c.repeat_tlbi = o.repeat_tlbi;
  c.neighbours = !o.no_neighbours;
  return c;
}

/// Why this combination cannot be booted; empty when it can.
std::string refusal(const BootCase& c, const BootOptions& o) {
  const vmsa::Regime& r = c.regime;
  const std::string granule = fmt::format("{}k", r.page_size() >> 10);
  if (c.memory_bytes == 0 || c.memory_bytes % r.section_size() != 0)
    return fmt::format("--memory {}: with {} pages memory comes in blocks of {}M; give a multiple", o.memory,
                       granule, r.section_size() >> 20);
  if (!vmsa::has_layout(r, c.layout))
    return fmt::format("the old layout has no 52-bit VA with {} pages; use --layout today", granule);
  if (o.vmemmap == "block" && !r.vmemmap_uses_blocks())
    return fmt::format("vmemmap is mapped by blocks with 4k pages only; with {} leave --vmemmap out",
                       granule);
  const std::uint64_t linear = vmsa::layout(r, c.layout).linear.size();
  if (c.memory_bytes > linear || scenario::boot_memory_bytes(c) > linear - c.memory_bytes)
    return fmt::format("--memory {}: the linear map of {} pages and {}-bit VA has room for {}G in all",
                       o.memory, granule, r.va_bits, linear >> 30);
  return {};
}

std::filesystem::path program_directory() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

/// The plugin that counts instructions, if this QEMU takes it; `why_not` otherwise.
std::string counting_plugin(const BootOptions& o, std::string& why_not) {
  const std::filesystem::path plugin = program_directory() / "shootdown-audit.so";
  if (!std::filesystem::exists(plugin)) {
    why_not = fmt::format("there is no {}", plugin.string());
  } else if (!o.accelerator.starts_with("tcg")) {
    why_not = fmt::format("--accel {} takes no plugins", o.accelerator);
  } else if (const auto usable = audit::usable_qemu(o.qemu); !usable) {
    why_not = usable.error().message;
  } else {
    return plugin.string();
  }
  return {};
}

std::string describe(const BootCase& c) {
  return fmt::format("{}k pages, {}-bit VA", c.regime.page_size() >> 10, c.regime.va_bits);
}

int exit_code_of(metal::RunFailure failure) {
  switch (failure) {
    case metal::RunFailure::none: return exit_code::holds;
    case metal::RunFailure::unavailable:
    case metal::RunFailure::unsupported: return exit_code::unavailable;
    case metal::RunFailure::died: return exit_code::guest;
    case metal::RunFailure::interrupted: return exit_code::interrupted;
  }
  return exit_code::internal;
}

/// One line, then what the console said last.
void write_failure(std::ostream& err, const BootCase& c, const scenario::BootOutcome& outcome) {
  err << fmt::format("shootdown: boot with {}: {}\n", describe(c), outcome.message);
  if (outcome.failure == metal::RunFailure::interrupted || outcome.failure == metal::RunFailure::unsupported)
    return;
  for (const std::string& line : outcome.last_lines) err << "  | " << line << '\n';
}

}  // namespace

Result<std::vector<BootCase>> make_boot_cases(const BootOptions& o) {
  const auto base = base_case(o);
  if (!base) return tl::unexpected(base.error());
  const auto chosen = regimes(o);
  if (!chosen) return tl::unexpected(chosen.error());
  if (const auto seconds = number("--timeout", o.timeout, 1, 86400, default_timeout_s); !seconds)
    return tl::unexpected(seconds.error());
  std::vector<BootCase> cases;
  for (const vmsa::Regime& r : *chosen) {
    BootCase c = *base;
    c.regime = r;
    if (std::string why = refusal(c, o); !why.empty()) return usage(std::move(why));
    cases.push_back(std::move(c));
  }
  return cases;
}

BootReport boot_all(const std::vector<BootCase>& cases, const BootOptions& o, std::ostream& err) {
  const std::atomic<bool>& stop = stop_on_signals();
  BootReport all;
  std::string not_counted;
  scenario::BootMachine machine{
      .qemu = o.qemu,
      .image = o.image.empty() ? (program_directory() / "shootdown-metal.img").string() : o.image,
      .cpu = o.cpu,
      .accelerator = o.accelerator,
      .plugin = counting_plugin(o, not_counted),
      .timeout = std::chrono::seconds(number("--timeout", o.timeout, 1, 86400, default_timeout_s).value()),
      .interrupted = [&stop] { return stop.load(); },
      .on_progress = {}};
  for (const BootCase& c : cases) {
    if (o.progress)
      machine.on_progress = [&](const metal::GuestLog& log) {
        err << fmt::format("\r\x1b[Kboot: {}: {} of {} strategies done; {}", describe(c),
                           log.results().size(), c.strategies.size(), log.phase())
            << std::flush;
      };
    scenario::BootOutcome outcome = scenario::boot(c, machine);
    if (o.progress) err << "\r\x1b[K" << std::flush;
    for (report::BootResult& r : outcome.results) {
      if (!r.passed() && all.exit_code == exit_code::holds) all.exit_code = exit_code::violation;
      all.results.push_back(std::move(r));
    }
    if (outcome.failure == metal::RunFailure::none) continue;
    write_failure(err, c, outcome);
    // The first machine that could not be judged decides: it hides more than a failed assertion does.
    if (all.exit_code <= exit_code::violation) all.exit_code = exit_code_of(outcome.failure);
    const bool same_for_all = outcome.failure == metal::RunFailure::unavailable;
    if (outcome.failure == metal::RunFailure::interrupted || same_for_all) break;
  }
  if (!not_counted.empty() && !all.results.empty())
    err << "shootdown: boot: instructions are not counted: " << not_counted << '\n';
  return all;
}

int run_boot(const BootOptions& o, std::ostream& out, std::ostream& err) {
  const auto cases = make_boot_cases(o);
  if (!cases) {
    err << "shootdown: " << cases.error().message << '\n';
    return cases.error().exit_code;
  }
  const BootReport all = boot_all(*cases, o, err);
  if (o.format == "json")
    for (const report::BootResult& r : all.results) out << report::boot_json(r).dump() << '\n';
  else if (o.format == "ktap")
    report::write_boot_ktap(out, all.results);
  else
    report::write_boot_text(out, all.results, {o.colour});
  return all.exit_code;
}

}  // namespace shootdown::cli
