// SPDX-License-Identifier: MIT
// Comparing the JSON of two audits, and writing the comparison.
#include "report/audit_diff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

namespace shootdown::report {
namespace {

using nlohmann::ordered_json;
using Numbers = std::map<std::string, std::uint64_t>;

/// The member as text; a number or an object as JSON, "?" where there is none.
std::string text_of(const ordered_json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return "?";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

bool is_count(const ordered_json& value) { return value.is_number_integer() && value >= 0; }

std::uint64_t number_of(const ordered_json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && is_count(*found) ? found->get<std::uint64_t>() : 0;
}

/// The objects of an array, whatever else a foreign file may have there.
std::vector<ordered_json> objects_in(const ordered_json& result, const char* key) {
  std::vector<ordered_json> objects;
  const auto found = result.find(key);
  if (found == result.end() || !found->is_array()) return objects;
  std::copy_if(found->begin(), found->end(), std::back_inserter(objects),
               [](const ordered_json& entry) { return entry.is_object(); });
  return objects;
}

/// Leaf numbers of a counts object by name: {"tlbi VAALE1IS": 8, ...}.
Numbers flat_counts(const ordered_json& counts, const std::string& prefix = {}) {
  Numbers flat;
  if (!counts.is_object()) return flat;
  for (const auto& [key, value] : counts.items()) {
    if (value.is_object()) flat.merge(flat_counts(value, prefix + key + " "));
    if (is_count(value)) flat[prefix + key] = value.get<std::uint64_t>();
  }
  return flat;
}

Numbers call_sites(const ordered_json& result) {
  Numbers sites;
  for (const ordered_json& site : objects_in(result, "call_sites"))
    sites[text_of(site, "operation") + " in " + source_function(text_of(site, "function"))] +=
        number_of(site, "count");
  return sites;
}

std::vector<AuditDiff::Count> side_by_side(const Numbers& a, const Numbers& b) {
  std::map<std::string, AuditDiff::Count> rows;
  for (const auto& [name, n] : a) rows[name].a = n;
  for (const auto& [name, n] : b) rows[name].b = n;
  std::vector<AuditDiff::Count> sorted;
  for (auto& [name, row] : rows) sorted.push_back({name, row.a, row.b});
  std::ranges::stable_sort(sorted, std::greater(),
                           [](const AuditDiff::Count& row) { return std::max(row.a, row.b); });
  return sorted;
}

/// "stale-page in unmap_hotplug_range.constprop.0": functions are words of a title.
std::string source_title(const std::string& title) {
  std::string text;
  for (std::size_t at = 0; at <= title.size();) {
    const std::size_t space = std::min(title.find(' ', at), title.size());
    text += (text.empty() ? "" : " ") + source_function(title.substr(at, space - at));
    at = space + 1;
  }
  return text;
}

std::vector<AuditDiff::Violation> violations(const ordered_json& a, const ordered_json& b) {
  std::vector<AuditDiff::Violation> all;
  for (const auto& [side, count] :
       {std::pair(&a, &AuditDiff::Violation::a), std::pair(&b, &AuditDiff::Violation::b)})
    for (const ordered_json& v : objects_in(*side, "violations")) {
      const std::string title = source_title(text_of(v, "title"));
      auto found = std::ranges::find(all, title, &AuditDiff::Violation::title);
      if (found == all.end())
        found = all.insert(
            all.end(),
            {.title = title, .harm = text_of(v, "harm"), .cause = text_of(v, "cause"), .accepted = true});
      (*found).*count += std::max<std::uint64_t>(1, number_of(v, "count"));
      if (!v.contains("suppressed")) found->accepted = false;
    }
  return all;
}

/// What decides how much work there was; two kernels are what a comparison is for.
std::vector<std::string> warnings(const ordered_json& a, const ordered_json& b) {
  constexpr std::array<std::pair<const char*, const char*>, 5> conditions{{{"workload", "workloads"},
                                                                           {"memory_bytes", "memory sizes"},
                                                                           {"granule", "page sizes"},
                                                                           {"cpus", "numbers of CPUs"},
                                                                           {"cpu_model", "CPU models"}}};
  std::vector<std::string> all;
  for (const auto& [key, name] : conditions)
    if (text_of(a, key) != text_of(b, key))
      all.push_back(fmt::format("the {} differ: {} in A, {} in B", name, text_of(a, key), text_of(b, key)));
  for (const ordered_json* side : {&a, &b})
    if (const std::string why = text_of(*side, "stopped"); why != "null" && why != "?")
      all.push_back(fmt::format("{} is incomplete: {}", side == &a ? "A" : "B", why));
  return all;
}

std::string heading(const ordered_json& r) {
  return fmt::format("{} ({}), {}, {} pages, {} CPUs ({})", text_of(r, "kernel"), text_of(r, "release"),
                     text_of(r, "workload"), text_of(r, "granule"), text_of(r, "cpus"),
                     text_of(r, "cpu_model"));
}

ordered_json side_json(const ordered_json& r) {
  ordered_json side = ordered_json::object();
  for (const char* key : {"kernel", "release", "workload", "granule", "cpu_model", "cpus", "memory_bytes"})
    side[key] = r.value(key, ordered_json());
  return side;
}

void write_counts(std::ostream& out, const char* title, const std::vector<AuditDiff::Count>& rows) {
  out << fmt::format("\n  {:>12} {:>12} {:>9}  {}\n", "A", "B", "B/A", title);
  for (const AuditDiff::Count& row : rows) {
    const std::string ratio =
        row.a == row.b ? "="
        : row.a == 0   ? "new"
                       : fmt::format("{:.3g}x", static_cast<double>(row.b) / static_cast<double>(row.a));
    out << fmt::format("  {:>12} {:>12} {:>9}  {}\n", row.a, row.b, ratio, row.name);
  }
}

}  // namespace

std::string source_function(std::string_view symbol) {
  if (const std::size_t offset = symbol.find("+0x"); offset != std::string_view::npos && offset > 0)
    symbol = symbol.substr(0, offset);
  constexpr std::array<std::string_view, 6> suffixes{".constprop", ".isra", ".part",
                                                     ".cold",      ".llvm", ".lto_priv"};
  std::size_t end = symbol.size();
  for (std::string_view suffix : suffixes)
    for (std::size_t at = symbol.find(suffix, 1); at < end; at = symbol.find(suffix, at + 1)) {
      const std::size_t behind = at + suffix.size();  // a whole component, not the start of another name
      if (behind == symbol.size() || symbol[behind] == '.') end = at;
    }
  return std::string(symbol.substr(0, end));
}

bool AuditDiff::one_sided() const { return std::ranges::any_of(violations, &Violation::one_sided); }

AuditDiff diff_audits(const ordered_json& a, const ordered_json& b) {
  return {.warnings = warnings(a, b),
          .counts = side_by_side(flat_counts(a.value("counts", ordered_json())),
                                 flat_counts(b.value("counts", ordered_json()))),
          .call_sites = side_by_side(call_sites(a), call_sites(b)),
          .violations = violations(a, b)};
}

ordered_json audit_diff_json(const AuditDiff& diff, const ordered_json& a, const ordered_json& b) {
  const auto rows = [](const std::vector<AuditDiff::Count>& counts) {
    ordered_json all = ordered_json::array();
    for (const AuditDiff::Count& row : counts)
      all.push_back({{"name", row.name}, {"a", row.a}, {"b", row.b}});
    return all;
  };
  ordered_json found = ordered_json::array();
  for (const AuditDiff::Violation& v : diff.violations)
    found.push_back({{"title", v.title},
                     {"harm", v.harm},
                     {"cause", v.cause},
                     {"a", v.a},
                     {"b", v.b},
                     {"accepted", v.accepted},
                     {"one_sided", v.one_sided()}});
  return {{"command", "diff"},
          {"a", side_json(a)},
          {"b", side_json(b)},
          {"warnings", diff.warnings},
          {"counts", rows(diff.counts)},
          {"call_sites", rows(diff.call_sites)},
          {"violations", std::move(found)},
          {"one_sided", diff.one_sided()}};
}

void write_audit_diff(std::ostream& out, const AuditDiff& diff, const ordered_json& a,
                      const ordered_json& b) {
  out << "A: " << heading(a) << "\nB: " << heading(b) << '\n';
  for (const std::string& warning : diff.warnings)
    out << "WARNING: " << warning << "; counts may differ for that reason alone\n";
  write_counts(out, "counts in the window", diff.counts);
  write_counts(out, "call sites", diff.call_sites);
  out << '\n';
  for (const AuditDiff::Violation& v : diff.violations)
    out << fmt::format("{}: {} ({}), {} times in A, {} in B{}\n",
                       v.b == 0   ? "only in A"
                       : v.a == 0 ? "only in B"
                                  : "in both",
                       v.title, v.cause, v.a, v.b, v.accepted ? ", suppressed" : "");
  if (diff.violations.empty()) out << "No violation in either.\n";
}

}  // namespace shootdown::report
