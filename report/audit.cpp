// SPDX-License-Identifier: MIT
#include "report/audit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <vector>

#include "report/counts_json.hpp"

namespace shootdown::report {
namespace {

using audit::AuditResult;
using audit::CallSite;
using audit::Phase;
using audit::Violation;
using nlohmann::ordered_json;

constexpr std::size_t json_call_sites_max = 200;

ordered_json phase_counts(const Phase& phase) {
  ordered_json json = counts_json(phase.counts);
  for (const auto& [kind, count] : phase.other_dsb) json["dsb"][kind] = count;
  if (phase.other_tlbi != 0) json["tlbi"]["other"] = phase.other_tlbi;
  return json;
}

ordered_json call_site_json(const CallSite& s) {
  return {{"operation", s.operation}, {"function", s.function}, {"callers", s.callers}, {"count", s.count},
          {"redundant", s.redundant}, {"repeated", s.repeated}, {"pages", s.pages}};
}

const char* granule_name(unsigned page_shift) {
  return page_shift == 12 ? "4k" : page_shift == 14 ? "16k" : "64k";
}

/// "TLBI VAALE1IS 262152, DSB ISH 266982, ..."
std::string counts_line(const Phase& phase) {
  std::string text;
  auto add = [&](std::string_view what, std::uint64_t n) {
    if (n != 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", what, n);
  };
  for (std::size_t i = 0; i < phase.counts.tlbi.size(); ++i)
    add(std::string("TLBI ") + vmsa::tlbi_name(vmsa::tlbi_ops[i]).c_str(), phase.counts.tlbi[i]);
  add("other TLBI", phase.other_tlbi);
  for (std::size_t i = 0; i < phase.counts.dsb.size(); ++i)
    add(std::string("DSB ") + machine::dsb_names[i], phase.counts.dsb[i]);
  for (const auto& [kind, count] : phase.other_dsb) add("DSB " + kind, count);
  add("ISB", phase.counts.isb);
  add("SGI", phase.counts.sgi);
  return text.empty() ? "nothing" : text;
}

void write_violations(std::ostream& out, const AuditResult& r, const AuditTextStyle& style) {
  for (const Violation& v : r.violations) {
    out << '\n';
    if (!v.suppressed.empty()) {
      out << fmt::format("suppressed: {}, {} times: {}\n", v.title, v.count, v.suppressed);
      continue;
    }
    const std::string rule = "==================================================================";
    out << rule << '\n';
    for (std::size_t i = 0; i < v.splat.size(); ++i)
      out << (style.colour && i == 0 ? "\033[1;31m" + v.splat[i] + "\033[0m" : v.splat[i]) << '\n';
    out << fmt::format("seen {} time{}\n{}\n", v.count, v.count == 1 ? "" : "s", rule);
  }
}

void write_profile(std::ostream& out, const AuditResult& r, const AuditTextStyle& style) {
  std::uint64_t total = 0;
  for (const CallSite& s : r.call_sites) total += s.count;
  if (total == 0) return;
  out << fmt::format("\n{:>9} {:>6}  {:<11} {:>9} {:>9}  {}\n", "count", "share", "operation", "redundant",
                     "repeated", "call site");
  std::size_t shown = 0;
  for (const CallSite& s : r.call_sites) {
    if (shown++ == style.call_sites_max) break;
    std::string where = s.function;
    for (std::size_t i = 0; i < std::min<std::size_t>(s.callers.size(), 3); ++i)
      where += " < " + s.callers[i];
    out << fmt::format("{:>9} {:>5.1f}%  {:<11} {:>9} {:>9}  {}\n", s.count,
                       100.0 * static_cast<double>(s.count) / static_cast<double>(total), s.operation,
                       s.redundant, s.repeated, where);
  }
  if (r.call_sites.size() > shown)
    out << fmt::format("          ... and {} more call sites (--format json has them)\n",
                       r.call_sites.size() - shown + 1);
}

void write_staleness(std::ostream& out, const AuditResult& r) {
  std::uint64_t total = 0;
  for (std::uint64_t n : r.stale_us) total += n;
  if (total == 0) return;
  out << fmt::format(
      "\n{} values stayed stale, until their invalidation was complete, for (host time, ratios only):\n",
      total);
  for (std::size_t i = 0; i < r.stale_us.size(); ++i)
    if (r.stale_us[i] != 0)
      out << fmt::format("  below {:>8} us {:>9} {:>5.1f}%\n", std::uint64_t{1} << i, r.stale_us[i],
                         100.0 * static_cast<double>(r.stale_us[i]) / static_cast<double>(total));
}

/// How much of the kernel's maintenance this run is about.
void write_reached(std::ostream& out, const AuditResult& r) {
  constexpr std::size_t shown_max = 8;
  if (!r.maintenance.empty()) {
    std::vector<std::string> rest;
    std::ranges::set_difference(r.maintenance, r.maintenance_reached, std::back_inserter(rest));
    out << fmt::format("maintenance functions reached: {} of {}", r.maintenance_reached.size(),
                       r.maintenance.size());
    for (std::size_t i = 0; i < std::min(rest.size(), shown_max); ++i)
      out << (i == 0 ? "; not " : ", ") << rest[i];
    if (rest.size() > shown_max) out << fmt::format(" and {} more", rest.size() - shown_max);
    out << '\n';
  }
  for (const std::string& function : r.required_not_reached)
    out << fmt::format("required, and not reached: {}\n", function);
}

}  // namespace

ordered_json audit_json(const AuditResult& r) {
  ordered_json json = {
      {"command", "audit"},
      {"kernel", r.kernel},
      {"release", r.release},
      {"workload", r.workload},
      {"granule", granule_name(r.page_shift)},
      {"cpu_model", r.cpu_model},
      {"cpus", r.cpus},
      {"memory_bytes", r.memory_bytes},
      {"counts", phase_counts(r.window)},
      {"violations", ordered_json::array()},
      {"blind_spots", r.blind_spots},
      {"maintenance", {{"functions", r.maintenance}, {"reached", r.maintenance_reached}}},
      {"required_not_reached", r.required_not_reached},
      {"judged_nothing", r.judged_nothing.empty() ? ordered_json(nullptr) : ordered_json(r.judged_nothing)},
      {"seconds", r.seconds},
      {"stopped", r.stopped ? ordered_json(r.stopped->message) : ordered_json(nullptr)}};
  for (const Violation& v : r.violations) {
    ordered_json entry = {{"harm", shadow::name(v.harm)},
                          {"cause", shadow::name(v.cause)},
                          {"title", v.title},
                          {"function", v.function},
                          {"count", v.count}};
    if (!v.suppressed.empty()) entry["suppressed"] = v.suppressed;
    json["violations"].push_back(std::move(entry));
  }
  json["phases"] = ordered_json::array();
  for (const Phase& p : r.phases) json["phases"].push_back({{"name", p.name}, {"counts", phase_counts(p)}});
  json["call_sites"] = ordered_json::array();
  for (std::size_t i = 0; i < std::min(r.call_sites.size(), json_call_sites_max); ++i)
    json["call_sites"].push_back(call_site_json(r.call_sites[i]));
  json["teardown"] = r.teardown.counts.instructions ? phase_counts(r.teardown) : ordered_json(nullptr);
  json["events"] = r.events;
  json["judge_seconds"] = r.judge_seconds != 0 ? ordered_json(r.judge_seconds) : ordered_json(nullptr);
  return json;
}

void write_audit(std::ostream& out, const AuditResult& r, const AuditTextStyle& style) {
  out << fmt::format("audit of {} ({}), workload {}", r.kernel, r.release, r.workload);
  if (r.memory_bytes != 0) out << fmt::format(", {} MiB", r.memory_bytes >> 20);
  out << fmt::format("\n{} pages, {} CPUs ({}), {} events, {:.1f} s", granule_name(r.page_shift), r.cpus,
                     r.cpu_model, r.events, r.seconds);
  if (r.judge_seconds > 0) out << fmt::format(", judged again in {:.2f} s", r.judge_seconds);
  if (r.stopped) out << fmt::format("\nincomplete: {}", r.stopped->message);
  out << fmt::format("\n\nin the workload's window: {}\n", counts_line(r.window));
  out << fmt::format("descriptor stores {}, tables freed {}", r.window.counts.descriptor_stores,
                     r.window.counts.tables_freed);
  if (r.window.counts.instructions) out << fmt::format(", instructions {}", *r.window.counts.instructions);
  out << '\n';
  if (r.teardown.counts.instructions)
    out << fmt::format("of that inside arch_remove_memory(): {}, descriptor stores {}, instructions {}\n",
                       counts_line(r.teardown), r.teardown.counts.descriptor_stores,
                       *r.teardown.counts.instructions);
  if (r.phases.size() > 1)
    for (const Phase& p : r.phases) out << fmt::format("  {}: {}\n", p.name, counts_line(p));
  write_profile(out, r, style);
  write_staleness(out, r);
  write_violations(out, r, style);

  const auto open = static_cast<std::size_t>(
      std::ranges::count_if(r.violations, [](const Violation& v) { return v.suppressed.empty(); }));
  out << '\n';
  write_reached(out, r);
  if (open == 0 && !r.judged_nothing.empty()) {
    out << fmt::format("Nothing was judged: {}.\n", r.judged_nothing);
  } else if (open == 0) {
    out << "No violation in this run, from boot on.\n";
  } else {
    out << fmt::format("{} violation{} in this run.\n", open, open == 1 ? "" : "s");
  }
  for (const std::string& note : r.notes) out << "note: " << note << '\n';
  out << "What this run cannot show:\n";
  for (const std::string& spot : r.blind_spots) out << "  - " << spot << '\n';
}

void write_audit_summary(std::ostream& out, const AuditResult& r) {
  out << fmt::format("{} ({}), {} of {} MiB, {} pages, {} CPUs: {}\n", r.kernel, r.release, r.workload,
                     r.memory_bytes >> 20, granule_name(r.page_shift), r.cpus,
                     !r.violations.empty()       ? "violations"
                     : !r.judged_nothing.empty() ? "nothing was judged"
                                                 : "no violation in this run");
  for (const Violation& v : r.violations)
    out << fmt::format("  {} ({}), {} times\n", v.title, shadow::name(v.cause), v.count);
  out << fmt::format("  {}\n  descriptor stores {}, tables freed {}\n", counts_line(r.window),
                     r.window.counts.descriptor_stores, r.window.counts.tables_freed);
}

}  // namespace shootdown::report
