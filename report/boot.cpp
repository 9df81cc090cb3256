// SPDX-License-Identifier: MIT
// Writing `boot` results.
#include "report/boot.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "report/counts_json.hpp"

namespace shootdown::report {

namespace {

std::string grouped(std::uint64_t n) {
  std::string digits = std::to_string(n);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, 1, ' ');
  return digits;
}

std::string granule(unsigned page_shift) { return fmt::format("{}k", (1u << page_shift) >> 10); }

std::string size(std::uint64_t bytes) {
  for (const auto& [shift, unit] : {std::pair{40, 'T'}, {30, 'G'}, {20, 'M'}, {10, 'K'}})
    if (bytes != 0 && bytes % (std::uint64_t{1} << shift) == 0)
      return fmt::format("{}{}", bytes >> shift, unit);
  return std::to_string(bytes);
}

std::uint64_t total(const Counts& counts) {
  std::uint64_t n = 0;
  for (std::uint64_t count : counts.tlbi) n += count;
  return n;
}

/// "262 152 VAALE1IS, 513 VAAE1IS": the most frequent first.
std::string by_operation(const Counts& counts) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < counts.tlbi.size(); ++i)
    if (counts.tlbi[i] != 0) order.push_back(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return counts.tlbi[a] > counts.tlbi[b]; });
  std::string text;
  for (std::size_t i : order)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", grouped(counts.tlbi[i]),
                        vmsa::tlbi_name(vmsa::tlbi_ops[i]).c_str());
  return text.empty() ? "none" : text;
}

bool same_table(const BootResult& a, const BootResult& b) {
  return a.scenario == b.scenario && a.page_shift == b.page_shift && a.va_bits == b.va_bits &&
         a.cpus == b.cpus && a.memory_bytes == b.memory_bytes && a.mapping == b.mapping &&
         a.vmemmap == b.vmemmap && a.cpu_model == b.cpu_model;
}

void write_heading(std::ostream& out, const BootResult& r) {
  out << fmt::format(
      "{} of {}, {} pages, {}-bit VA, linear map by {}, vmemmap by {}; {} CPU{}, QEMU -cpu {}\n\n",
      r.scenario, size(r.memory_bytes), granule(r.page_shift), r.va_bits, r.mapping, r.vmemmap, r.cpus,
      r.cpus == 1 ? "" : "s", r.cpu_model);
  out << fmt::format("{:<20}{:<8}{:>7}{:>9}{:>9}{:>10}{:>8}{:>13}{:>9}   {}\n", "strategy", "verdict",
                     "stale", "TLBI", "DSB ISH", "stores", "tables", "instructions", "time",
                     "TLBI by operation");
}

void write_row(std::ostream& out, const BootResult& r, const BootTextStyle& style) {
  const char* colour = !style.colour ? "" : r.passed() ? "\x1b[32m" : "\x1b[31m";
  out << fmt::format("{:<20}{}{:<8}{}{:>7}{:>9}{:>9}{:>10}{:>8}{:>13}{:>9}   {}\n", r.strategy, colour,
                     r.passed() ? "pass" : "FAIL", style.colour ? "\x1b[0m" : "", grouped(r.stale_accesses),
                     grouped(total(r.counts)),
                     grouped(r.counts.dsb[static_cast<std::size_t>(machine::Dsb::ish)]),
                     grouped(r.counts.descriptor_stores), grouped(r.counts.tables_freed),
                     r.counts.instructions ? grouped(*r.counts.instructions) : "-",
                     r.time_ratio ? fmt::format("{:.2g}", *r.time_ratio) : "-", by_operation(r.counts));
  for (const std::string& failure : r.failures) out << "    " << failure << '\n';
}

std::string test_name(const BootResult& r) {
  return fmt::format("{}.{}.{}-{}.{}.vmemmap-{}.{}cpu.{}", r.scenario, r.strategy, granule(r.page_shift),
                     r.va_bits, r.mapping, r.vmemmap, r.cpus, size(r.memory_bytes));
}

}  // namespace

nlohmann::ordered_json boot_json(const BootResult& r) {
  using nlohmann::ordered_json;
  ordered_json json;
  json["command"] = "boot";
  json["scenario"] = r.scenario;
  json["strategy"] = r.strategy;
  json["granule"] = granule(r.page_shift);
  json["va_bits"] = r.va_bits;
  json["cpus"] = r.cpus;
  json["memory_bytes"] = r.memory_bytes;
  json["mapping"] = r.mapping;
  json["vmemmap"] = r.vmemmap;
  json["verdict"] = r.passed() ? "pass" : "fail";
  json["stale_accesses"] = r.stale_accesses;
  json["counts"] = counts_json(r.counts);
  json["tables_retained"] = r.tables_retained;
  json["time_ratio"] = r.time_ratio ? ordered_json(*r.time_ratio) : ordered_json(nullptr);
  json["failures"] = r.failures;
  return json;
}

void write_boot_ktap(std::ostream& out, const std::vector<BootResult>& results) {
  out << "KTAP version 1\n1.." << results.size() << '\n';
  std::size_t number = 0;
  for (const BootResult& r : results) {
    for (const std::string& failure : r.failures) out << "# " << failure << '\n';
    out << (r.passed() ? "ok " : "not ok ") << ++number << ' ' << test_name(r) << '\n';
  }
}

void write_boot_text(std::ostream& out, const std::vector<BootResult>& results, const BootTextStyle& style) {
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (i == 0 || !same_table(results[i - 1], results[i])) {
      if (i > 0) out << '\n';
      write_heading(out, results[i]);
    }
    write_row(out, results[i], style);
  }
  if (results.empty()) return;
  out << "\npass: in this run every load after the removal faulted as the tables say, on every CPU, the "
         "counts are\n"
         "those derived from sizes alone, and tables and pages are as before. Emulation keeps no walk caches "
         "and\n"
         "fills no TLB ahead of time: what is safe, `shootdown check` says. time: the removal's, as a "
         "multiple of\n"
         "the first line's in the same run.\n";
}

}  // namespace shootdown::report
