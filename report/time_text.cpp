// SPDX-License-Identifier: MIT
// `time` results as a table for people: estimated times on the left with their range, exact counts on the right.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "report/counts_text.hpp"
#include "report/published.hpp"
#include "report/time.hpp"

namespace shootdown::report {

namespace {

using timed::Cost;
using timed::Nanoseconds;

bool same_table(const TimeResult& a, const TimeResult& b) {
  return a.scenario == b.scenario && a.page_shift == b.page_shift && a.va_bits == b.va_bits &&
         a.cpus == b.cpus && a.sockets == b.sockets && a.memory == b.memory && a.profile == b.profile &&
         a.mapping == b.mapping && a.vmemmap == b.vmemmap && a.load == b.load && a.erratum == b.erratum &&
         a.blocks_one_by_one == b.blocks_one_by_one;
}

std::string heading(const TimeResult& r) {
  std::string text =
      fmt::format("{} of {}, {}K pages, {}-bit VA, linear map by {}, vmemmap by {}{}\n", r.scenario,
                  readable_bytes(r.memory), (std::uint64_t{1} << r.page_shift) >> 10, r.va_bits, r.mapping,
                  r.vmemmap, r.blocks_one_by_one ? ", memory blocks one by one" : "");
  text += fmt::format(
      "on {}: {} CPU{}, {} socket{}, {}; load of the others {}; repeat-TLBI erratum workaround {}\n",
      r.profile, r.cpus, r.cpus == 1 ? "" : "s", r.sockets, r.sockets == 1 ? "" : "s",
      readable_features(r.range_tlbi, timed::bbm_names[static_cast<std::size_t>(r.bbm)]), r.load,
      r.erratum ? "on" : "off");
  return text + fmt::format("the profile's {}\n", readable_figures(r.figure_counts));
}

/// The two or three parts that take the most, as "linear_leaf_flush 98 %".
std::string where_time_goes(const TimeResult& r) {
  std::vector<std::size_t> order(timed::cost_names.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return r.breakdown.parts[a] > r.breakdown.parts[b]; });
  std::string text;
  const Nanoseconds total = r.breakdown.total();
  for (std::size_t i = 0; i < 4; ++i) {
    const double share = total.value > 0 ? 100 * (r.breakdown.parts[order[i]] / total) : 0;
    if (share < 2 && i > 0) break;
    text += fmt::format("{}{} {:.0f} %", text.empty() ? "" : ", ", timed::cost_names[order[i]], share);
  }
  return text;
}

/// Estimates left of the bar, counts right of it.
void write_table(std::ostream& out, const std::vector<const TimeResult*>& rows) {
  out << heading(*rows.front()) << '\n';
  out << fmt::format("{:<19}{:>9}  {:<19}{:>9}  |{:>12}{:>12}{:>8}   {}\n", "estimated time", "median",
                     "  5 to 95 %", "ratio", "TLBI", "DSB ISH", "tables", "TLBI by operation");
  for (const TimeResult* r : rows) {
    const std::string range = fmt::format("{} .. {}", readable_time(r->low), readable_time(r->high));
    const double ratio = r->simulated / rows.front()->simulated;
    std::string operations = tlbi_by_operation(r->counts);
    for (const std::string& remark : r->remarks) operations += "; " + remark;
    out << fmt::format("{:<19}{:>9}  {:<19}{:>9}  |{:>12}{:>12}{:>8}   {}\n", r->strategy,
                       readable_time(r->simulated), range, fmt::format("{:.3g}", ratio),
                       grouped(tlbi_total(r->counts)),
                       grouped(r->counts.dsb[static_cast<std::size_t>(machine::Dsb::ish)]),
                       grouped(r->counts.tables_freed), operations);
  }
}

void write_published(std::ostream& out, const std::vector<const TimeResult*>& rows) {
  if (std::none_of(rows.begin(), rows.end(), [](const TimeResult* r) { return published_for(*r); })) return;
  out << "\npublished for this case (list predictions has the others)\n";
  for (const TimeResult* r : rows)
    if (const auto source = published_for(*r))
      out << fmt::format("  {:<19}{:<16}  ours is {}\n", r->strategy, source->figure, source->ours);
}

void write_details(std::ostream& out, const std::vector<const TimeResult*>& rows) {
  out << "\nwhere the time goes\n";
  for (const TimeResult* r : rows) out << fmt::format("  {:<19}{}\n", r->strategy, where_time_goes(*r));
  out << "what moves the estimate most (all others at their medians)\n";
  for (const TimeResult* r : rows)
    out << fmt::format("  {:<19}{} ({}): {} .. {}\n", r->strategy, r->dominant_parameter,
                       timed::status_names[static_cast<std::size_t>(r->dominant_status)],
                       readable_time(r->dominant_low), readable_time(r->dominant_high));
  out << "the other CPUs, and RCU\n";
  for (const TimeResult* r : rows)
    out << fmt::format(
        "  {:<19}stolen {} in all, longest stall {}, {} interrupted; {} without a reschedule point{}\n",
        r->strategy, readable_time(r->bystanders.stolen_total), readable_time(r->bystanders.stall_max),
        r->bystanders.interrupted_cpus, readable_time(r->longest_stretch),
        r->rcu_stall_warning ? ": RCU STALL WARNING" : "");
  for (const TimeResult* r : rows)
    for (const std::string& warning : r->warnings)
      out << fmt::format("WARNING: {}: {}\n", r->strategy, warning);
}

}  // namespace

void write_time_text(std::ostream& out, const std::vector<TimeResult>& results) {
  for (std::size_t i = 0; i < results.size();) {
    std::vector<const TimeResult*> rows;
    const std::size_t first = i;
    for (; i < results.size() && same_table(results[first], results[i]); ++i) rows.push_back(&results[i]);
    if (first > 0) out << '\n';
    write_table(out, rows);
    write_published(out, rows);
    write_details(out, rows);
  }
  if (results.empty()) return;
  out << fmt::format(
      "\nCounts are exact. Times are estimates: the median of {} samples (seed {}), and their 5th and 95th "
      "percentile;\ndocs/timed.md says which figures are published, fitted or guessed. Hot-add and the "
      "host's own work are not in them.\n",
      results.front().samples, results.front().seed);
}

}  // namespace shootdown::report
