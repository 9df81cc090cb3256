// SPDX-License-Identifier: MIT
// Writing `boot` results.
#include "report/boot.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "report/counts_json.hpp"
#include "report/counts_text.hpp"

namespace shootdown::report {

namespace {

std::string granule(unsigned page_shift) { return fmt::format("{}k", (1u << page_shift) >> 10); }

std::string size(std::uint64_t bytes) {
  for (const auto& [shift, unit] : {std::pair{40, 'T'}, {30, 'G'}, {20, 'M'}, {10, 'K'}})
    if (bytes != 0 && bytes % (std::uint64_t{1} << shift) == 0)
      return fmt::format("{}{}", bytes >> shift, unit);
  return std::to_string(bytes);
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
                     grouped(tlbi_total(r.counts)),
                     grouped(r.counts.dsb[static_cast<std::size_t>(machine::Dsb::ish)]),
                     grouped(r.counts.descriptor_stores), grouped(r.counts.tables_freed),
                     r.counts.instructions ? grouped(*r.counts.instructions) : "-",
                     r.time_ratio ? fmt::format("{:.2g}", *r.time_ratio) : "-", tlbi_by_operation(r.counts));
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
