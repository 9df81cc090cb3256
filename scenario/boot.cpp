// SPDX-License-Identifier: MIT
// From a case to boot arguments, and from the guest's facts to a verdict.
#include "scenario/boot.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace shootdown::scenario {

namespace {

using metal::GuestResult;
using metal::GuestStart;
using report::BootResult;

/// How many addresses of its own each CPU keeps warm in each region (hot_remove_run.hpp).
constexpr std::uint64_t warm_count = 16;

void compare(std::vector<std::string>& failures, std::string_view what, std::uint64_t seen,
             std::uint64_t expected) {
  if (seen != expected) failures.push_back(fmt::format("{}: {} counted, {} expected", what, seen, expected));
}

void compare_counts(std::vector<std::string>& failures, const report::Counts& seen,
                    const report::Counts& expected) {
  for (std::size_t i = 0; i < seen.tlbi.size(); ++i)
    compare(failures, fmt::format("TLBI {}", vmsa::tlbi_name(vmsa::tlbi_ops[i]).c_str()), seen.tlbi[i],
            expected.tlbi[i]);
  for (std::size_t i = 0; i < seen.dsb.size(); ++i)
    compare(failures, fmt::format("DSB {}", machine::dsb_names[i]), seen.dsb[i], expected.dsb[i]);
  compare(failures, "ISB", seen.isb, expected.isb);
  compare(failures, "SGI", seen.sgi, expected.sgi);
  compare(failures, "descriptor stores", seen.descriptor_stores, expected.descriptor_stores);
  compare(failures, "tables freed", seen.tables_freed, expected.tables_freed);
}

/// Loads after the removal, by all CPUs: every page of both regions, and each CPU's warm ones once more.
std::uint64_t probe_count(const BootCase& c, const GuestStart& start) {
  const std::uint64_t linear = c.memory_bytes / c.regime.page_size();
  const std::uint64_t vmemmap = linear * c.regime.struct_page_size() / c.regime.page_size();
  return start.cpus * (linear + vmemmap + std::min(warm_count, linear) + std::min(warm_count, vmemmap));
}

void judge_accesses(std::vector<std::string>& failures, const BootCase& c, const GuestStart& start,
                    const GuestResult& seen) {
  if (seen.bad_values != 0)
    failures.push_back(
        fmt::format("{} loads of the new memory did not read what was stored", seen.bad_values));
  if (seen.stale_accesses != 0)
    failures.push_back(
        fmt::format("{} loads after the removal went through a stale translation", seen.stale_accesses));
  if (seen.freed_reads != 0)
    failures.push_back(fmt::format(
        "{} loads during the removal read a vmemmap page that had been freed already", seen.freed_reads));
  if (seen.other_faults != 0)
    failures.push_back(
        fmt::format("{} loads after the removal faulted otherwise than the tables say; the last at {} "
                    "with ESR {}",
                    seen.other_faults, seen.bad_fault_va, seen.bad_fault_esr));
  compare(failures, "loads after the removal", seen.expected_faults + seen.other_faults + seen.stale_accesses,
          probe_count(c, start));
}

void judge_restoration(std::vector<std::string>& failures, const BootCase& c, const GuestResult& seen,
                       const ExpectedCounts& e) {
  auto require = [&](bool holds, const char* failure) {
    if (!holds) failures.emplace_back(failure);
  };
  compare(failures, "leaves added", seen.leaves_added, e.linear_leaves + e.vmemmap_leaves);
  compare(failures, "empty tables kept", seen.empty_tables, e.tables_retained);
  const auto kept = static_cast<std::int64_t>(seen.empty_tables - seen.empty_tables_before);
  require(seen.tables_kept == kept, "a table page was neither freed nor is it linked any more");
  require(seen.free_pages_lost == kept, "free memory did not come back");
  require(static_cast<std::int64_t>(seen.tables_allocated - seen.counts.tables_freed) == kept,
          "tables allocated and tables freed do not add up");
  require(seen.tree_restored, "the tables are not what they were before the hot-add");
  require(seen.vmemmap_pages_restored, "pages of vmemmap were not freed");
  require(seen.memblock_restored, "memblock still holds the range");
  require(seen.released_bytes == c.memory_bytes, "the range was not released exactly once");
  require(seen.again_identical.value_or(false), "a second hot-add built other tables");
  require(seen.again_restored.value_or(false), "a second removal left something behind");
  if (seen.warnings != 0) failures.push_back(fmt::format("{} warnings of the procedure", seen.warnings));
}

bool is_what_was_asked(const BootCase& c, const GuestStart& s) {
  return s.page_shift == c.regime.page_shift && s.va_bits == c.regime.va_bits && s.cpus == c.cpus &&
         s.memory_bytes == c.memory_bytes;
}

void fail(BootOutcome& out, std::string message) {
  out.failure = metal::RunFailure::died;
  out.message = std::move(message);
}

}  // namespace

std::uint64_t boot_memory_bytes(const BootCase& c) {
  // Struct pages take a 64th at 4K; a GiB for each 32 leaves room for tables and the image's own.
  constexpr std::uint64_t gib = std::uint64_t{1} << 30;
  return gib * ((c.memory_bytes + 32 * gib - 1) / (32 * gib));
}

std::string bootargs(const BootCase& c) {
  return fmt::format(
      "sd.page={} sd.va={} sd.memory={} sd.boot={} sd.strategy={} sd.mapping={} sd.vmemmap={} sd.layout={} "
      "sd.rule={} "
      "sd.neighbours={} sd.range={} sd.repeat={}",
      c.regime.page_shift, c.regime.va_bits, c.memory_bytes, boot_memory_bytes(c),
      fmt::join(c.strategies, ","), c.mapping, c.vmemmap_pages ? "pages" : "block",
      c.layout == vmsa::LayoutAge::old ? "old" : "today", c.table_rule, c.neighbours ? "boot" : "none",
      c.use_range_tlbi ? "on" : "off", c.repeat_tlbi ? "on" : "off");
}

ExpectedCounts expected(const BootCase& c, const GuestStart& start, const std::string& strategy) {
  const vmsa::PhysAddr base(start.boot_base);
  const vmsa::PhysAddr first = base + boot_memory_bytes(c);
  RemovalCase removal{.regime = c.regime,
                      .layout = c.layout,
                      .memstart = base.align_down(std::uint64_t{1} << 30),
                      .range = {first, first + c.memory_bytes},
                      .strategy = strategy,
                      .mapping = c.mapping,
                      .table_rule = c.table_rule,
                      .vmemmap_pages = c.vmemmap_pages,
                      .range_tlbi = start.range_tlbi,
                      .repeat_tlbi = c.repeat_tlbi,
                      .vmalloc_neighbour = c.neighbours};
  if (c.neighbours) removal.neighbours = {{base, first}};
  return expected_counts(removal);
}

BootResult judge(const BootCase& c, const GuestStart& start, const GuestResult& seen) {
  const ExpectedCounts e = expected(c, start, seen.strategy);
  BootResult r{.strategy = seen.strategy,
               .page_shift = c.regime.page_shift,
               .va_bits = c.regime.va_bits,
               .cpus = start.cpus,
               .memory_bytes = c.memory_bytes,
               .mapping = c.mapping,
               .vmemmap = c.regime.vmemmap_uses_blocks() && !c.vmemmap_pages ? "block" : "pages",
               .cpu_model = {},
               .failures = {},
               .stale_accesses = seen.stale_accesses + seen.freed_reads,
               .counts = seen.counts,
               .tables_retained = seen.empty_tables,
               .time_ratio = {}};
  judge_accesses(r.failures, c, start, seen);
  compare_counts(r.failures, seen.counts, e.counts);
  judge_restoration(r.failures, c, seen, e);
  return r;
}

BootOutcome boot(const BootCase& c, const BootMachine& machine) {
  metal::QemuSpec spec{.program = machine.qemu,
                       .image = machine.image,
                       .cpu = machine.cpu,
                       .accelerator = machine.accelerator,
                       .cpus = c.cpus,
                       .memory_bytes = boot_memory_bytes(c) + c.memory_bytes,
                       .bootargs = bootargs(c),
                       .plugin = machine.plugin,
                       .timeout = machine.timeout,
                       .interrupted = machine.interrupted,
                       .on_progress = machine.on_progress};
  metal::QemuRun run = metal::run_qemu(spec);
  BootOutcome out{
      .results = {}, .failure = run.failure, .message = run.message, .last_lines = run.last_lines};
  if (!run.log.start()) return out;
  const GuestStart& start = *run.log.start();
  if (!is_what_was_asked(c, start)) {
    fail(out, "the guest runs something else than was asked for: the image is another build's");
    return out;
  }
  for (const GuestResult& seen : run.log.results()) {
    const std::size_t i = out.results.size();
    if (i >= c.strategies.size() || seen.strategy != c.strategies[i]) {
      fail(out, "the guest reported a strategy that was not asked for");
      return out;
    }
    out.results.push_back(judge(c, start, seen));
    BootResult& r = out.results.back();
    r.cpu_model = machine.cpu;
    if (i < run.instructions.size()) r.counts.instructions = run.instructions[i];
    for (const std::string& warning : seen.warnings != 0 ? run.log.warnings() : std::vector<std::string>{})
      r.failures.push_back("warning: " + warning);
    const std::uint64_t first_ticks = run.log.results().front().remove_ticks;
    if (c.strategies.size() > 1 && first_ticks != 0)
      r.time_ratio = static_cast<double>(seen.remove_ticks) / static_cast<double>(first_ticks);
  }
  if (out.failure == metal::RunFailure::none && out.results.size() != c.strategies.size())
    fail(out, fmt::format("the guest reported nothing for strategy {}", c.strategies[out.results.size()]));
  return out;
}

}  // namespace shootdown::scenario
