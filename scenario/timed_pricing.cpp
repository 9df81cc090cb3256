// SPDX-License-Identifier: MIT
// Where hot-removed memory is placed, which requests make sense, and the price of a run.
#include <fmt/format.h>

#include "machine/timed/profile.hpp"
#include "machine/timed/system.hpp"
#include "report/counts_text.hpp"
#include "scenario/timed_hot_remove.hpp"
#include "vmsa/layout.hpp"

namespace shootdown::scenario {

using timed::Bytes;
using timed::Nanoseconds;
using timed::ParamValues;

Placement place(const vmsa::Regime& r, Bytes memory) {
  constexpr std::uint64_t gib = std::uint64_t{1} << 30;
  const std::uint64_t room = vmsa::layout(r, vmsa::LayoutAge::today).linear.size();
  const std::uint64_t boot = gib * ((memory.value + 32 * gib - 1) / (32 * gib));
  if (boot <= room && memory.value <= room - boot) return {boot, r.section_size()};
  return {r.section_size(), r.section_size()};
}

std::optional<std::string> problem_of(const HotRemoveSpec& spec) {
  const vmsa::Regime& r = spec.regime;
  const std::uint64_t room = vmsa::layout(r, vmsa::LayoutAge::today).linear.size();
  if (spec.memory.value == 0 || spec.memory.value % r.section_size() != 0)
    return fmt::format("memory {} is not a multiple of the memory block of {} with {}K pages",
                       report::readable_bytes(spec.memory), report::readable_bytes(Bytes(r.section_size())),
                       r.page_size() >> 10);
  if (spec.memory.value > room - r.section_size())
    return fmt::format(
        "memory {} does not fit beside boot memory into a linear map of {} ({}K pages, {}-bit VA)",
        report::readable_bytes(spec.memory), report::readable_bytes(Bytes(room)), r.page_size() >> 10,
        r.va_bits);
  return std::nullopt;
}

Bytes host_bytes_needed(const HotRemoveSpec& spec) {
  const vmsa::Regime& r = spec.regime;
  // A slot for each page of the linear map and of vmemmap, a table for each gigabyte's worth of upper levels.
  const std::uint64_t pages = spec.memory.value >> r.page_shift;
  const std::uint64_t slots =
      spec.mapping.largest == vmsa::page_level ? pages : pages >> (r.bits_per_level - 1);
  const std::uint64_t vmemmap_slots = (pages << r.struct_page_shift >> r.page_shift) + 1;
  const std::uint64_t tables = ((slots + vmemmap_slots) >> r.bits_per_level) + 1;
  return Bytes((tables + tables / 64 + 128) << r.page_shift);
}

report::TimeResult describe_hot_remove(const HotRemoveSpec& spec, const PricedOn& on) {
  report::TimeResult result;
  result.scenario = "hot-remove";
  result.strategy = spec.strategy.name;
  result.page_shift = spec.regime.page_shift;
  result.va_bits = spec.regime.va_bits;
  result.cpus = on.cpus;
  result.sockets = on.setup().sockets;
  result.load = timed::load_name(on.load);
  result.memory = spec.memory;
  result.profile = on.profile.name;
  result.profile_digest = on.profile.digest();
  result.range_tlbi = on.profile.range_tlbi;
  result.bbm = on.profile.bbm;
  result.figure_counts = on.profile.status_counts();
  result.mapping = spec.mapping.name;
  result.vmemmap = spec.regime.vmemmap_uses_blocks() && spec.vmemmap_blocks ? "block" : "pages";
  result.erratum = spec.repeat_tlbi;
  result.blocks_one_by_one = spec.blocks_one_by_one;
  result.seed = on.sampling.seed;
  result.samples = on.sampling.samples;
  return result;
}

namespace {

/// What one run costs under each sample of the figures.
struct Priced {
  std::vector<Nanoseconds> total, stretch, stolen, stall;
  timed::Breakdown parts;  ///< summed over the samples
  unsigned interrupted_cpus = 0;
  std::size_t stalls_warned = 0;

  void add(const HotRemoveRun& run, const ParamValues& values, const timed::MachineSetup& setup) {
    timed::System system(values, setup);
    system.run(0, run.removal);
    total.push_back(system.now(0));
    stretch.push_back(system.prices().total(run.longest_stretch));
    parts += system.prices().breakdown(run.removal);
    const timed::Bystanders others = system.bystanders();
    stolen.push_back(others.stolen_total);
    stall.push_back(others.stall_max);
    interrupted_cpus = others.interrupted_cpus;
    stalls_warned += stretch.back() >= values.time(timed::Param::rcu_stall_timeout) ? 1 : 0;
  }
  /// The parts in the proportions of their means, so that they add up to `whole`.
  timed::Breakdown breakdown(Nanoseconds whole) const {
    timed::Breakdown scaled;
    const Nanoseconds sum = parts.total();
    if (sum == Nanoseconds(0)) return scaled;
    for (std::size_t i = 0; i < scaled.parts.size(); ++i) scaled.parts[i] = whole * (parts.parts[i] / sum);
    return scaled;
  }
};

/// Linux flushes everything where a range has too many pages, and without range TLBI a table's worth is too many: a
/// strategy of range flushes is then another one.
std::vector<std::string> remarks_on(const HotRemoveSpec& spec, const report::Counts& counts) {
  const std::uint64_t n = counts.tlbi[vmsa::tlbi_index(vmsa::vmalle1is)];
  if (n == 0) return {};
  return {fmt::format("{}: {} of everything instead of {}",
                      spec.range_tlbi ? "range too long" : "no range TLBI",
                      n == 1 ? "one flush" : report::grouped(n) + " flushes", n == 1 ? "a range" : "ranges")};
}

}  // namespace

report::TimeResult price_hot_remove(const HotRemoveSpec& spec, const HotRemoveRun& run, const PricedOn& on) {
  const timed::MachineSetup setup = on.setup();
  Priced priced;
  timed::for_each_sample(on.profile, on.sampling, [&](const ParamValues& v) { priced.add(run, v, setup); });
  const timed::Percentiles<Nanoseconds> total = timed::percentiles(priced.total);
  const timed::Dominant dominant = timed::find_dominant(
      on.profile, [&](const ParamValues& v) { return timed::Prices(v, setup).total(run.removal); });

  report::TimeResult result = describe_hot_remove(spec, on);
  result.simulated = total.median;
  result.low = total.low;
  result.high = total.high;
  const timed::ParamInfo& info = timed::info(dominant.param);
  result.dominant_parameter = fmt::format("{}.{}", info.group, info.key);
  result.dominant_status = on.profile[dominant.param].status;
  result.dominant_low = dominant.low;
  result.dominant_high = dominant.high;
  result.breakdown = priced.breakdown(total.median);
  result.bystanders = {timed::percentiles(priced.stolen).median, timed::percentiles(priced.stall).median,
                       priced.interrupted_cpus};
  result.longest_stretch = timed::percentiles(priced.stretch).median;
  result.rcu_stall_warning = 2 * priced.stalls_warned >= priced.total.size();
  result.counts = run.removal.counts();
  result.warnings = run.warnings;
  result.remarks = remarks_on(spec, result.counts);
  result.host_seconds = run.host_seconds;
  result.host_peak = run.host_peak;
  return result;
}

}  // namespace shootdown::scenario
