// SPDX-License-Identifier: MIT
// Where hot-removed memory is placed, which requests make sense, and the price of a run.
#include <fmt/format.h>

#include "machine/timed/profile.hpp"
#include "machine/timed/system.hpp"
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
  result.mapping = spec.mapping.name;
  result.vmemmap = spec.regime.vmemmap_uses_blocks() && spec.vmemmap_blocks ? "block" : "pages";
  result.erratum = spec.repeat_tlbi;
  result.blocks_one_by_one = spec.blocks_one_by_one;
  result.seed = on.sampling.seed;
  result.samples = on.sampling.samples;
  return result;
}

report::TimeResult price_hot_remove(const HotRemoveSpec& spec, const HotRemoveRun& run, const PricedOn& on) {
  const timed::MachineSetup setup = on.setup();
  const ParamValues central = on.profile.central();
  timed::System system(central, setup);
  system.run(0, run.removal);
  const timed::Uncertainty range = timed::sample(on.profile, on.sampling, [&](const ParamValues& v) {
    return timed::Prices(v, setup).total(run.removal);
  });

  report::TimeResult result = describe_hot_remove(spec, on);
  result.simulated = system.now(0);
  result.low = range.low;
  result.high = range.high;
  const timed::ParamInfo& dominant = timed::info(range.dominant);
  result.dominant_parameter = fmt::format("{}.{}", dominant.group, dominant.key);
  result.dominant_status = on.profile[range.dominant].status;
  result.dominant_low = range.dominant_low;
  result.dominant_high = range.dominant_high;
  result.breakdown = system.prices().breakdown(run.removal);
  result.bystanders = system.bystanders();
  result.longest_stretch = system.prices().total(run.longest_stretch);
  result.rcu_stall_warning = result.longest_stretch >= central.time(timed::Param::rcu_stall_timeout);
  result.counts = run.removal.counts();
  result.warnings = run.warnings;
  result.host_seconds = run.host_seconds;
  result.host_peak = run.host_peak;
  return result;
}

}  // namespace shootdown::scenario
