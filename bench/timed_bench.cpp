// SPDX-License-Identifier: MIT
// The timed machine against a bare loop over the same memory, both in every iteration: hot-add and hot-remove by P,
// which flushes each leaf, beside writing, clearing and twice scanning as many descriptors, each by one 64-bit access.
// Argument: GiB of simulated memory, 4K pages. Reported: seconds of each, nanoseconds a page, their ratio.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "machine/timed/profile_toml.hpp"
#include "scenario/timed_hot_remove.hpp"

namespace shootdown {
namespace {

/// Seconds of this core, so that other load on the machine does not count.
double seconds_of(auto&& body) {
  const auto now = [] {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
  };
  const double began = now();
  body();
  return now() - began;
}

/// Descriptor by descriptor, as volatile demands: a descriptor access may be neither merged nor split.
void bare_loop(std::uint64_t pages) {
  const std::size_t bytes = pages * sizeof(std::uint64_t);
  void* mapping =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) std::abort();
  madvise(mapping, bytes, MADV_HUGEPAGE);
  auto* const slots = static_cast<volatile std::uint64_t*>(mapping);
  constexpr std::uint64_t table = 512;
  std::uint64_t left = 0;
  for (std::uint64_t i = 0; i < pages; ++i) slots[i] = i << 12 | 3;
  for (std::uint64_t i = 0; i < pages; ++i)
    if (slots[i] != 0) slots[i] = 0;
  for (std::uint64_t t = 0; t < pages; t += table)
    for (int scan = 0; scan < 2; ++scan)
      for (std::uint64_t i = t; i < t + table; ++i) left += slots[i] != 0 ? 1 : 0;
  benchmark::DoNotOptimize(left);
  munmap(mapping, bytes);
}

void hot_remove_by_p_against_a_bare_loop(benchmark::State& state) {
  const auto memory = static_cast<std::uint64_t>(state.range(0)) << 30;
  const timed::Profile profile = *timed::load_profile("neoverse-v2-72");
  const timed::Prices prices(profile.central(), {profile.cpus, profile.sockets});
  scenario::HotRemoveSpec spec{};
  spec.regime = vmsa::regime(12, 48);
  spec.strategy = mm::strategies[0];
  spec.mapping = mm::mappings[0];
  spec.memory = timed::Bytes(memory);
  const std::uint64_t pages = memory >> 12;
  double bare = std::numeric_limits<double>::max();
  double timed_run = bare;
  std::uint64_t peak = 0;
  for (auto _ : state) {
    bare = std::min(bare, seconds_of([&] { bare_loop(pages); }));
    timed_run = std::min(timed_run,
                         seconds_of([&] { peak = scenario::run_hot_remove(spec, prices).host_peak.value; }));
  }
  state.counters["bare_s"] = bare;
  state.counters["timed_s"] = timed_run;
  state.counters["bare_ns_page"] = bare / static_cast<double>(pages) * 1e9;
  state.counters["timed_ns_page"] = timed_run / static_cast<double>(pages) * 1e9;
  state.counters["ratio"] = timed_run / bare;
  state.counters["peak_GiB"] = static_cast<double>(peak) / 0x1p30;
}
BENCHMARK(hot_remove_by_p_against_a_bare_loop)
    ->Arg(32)
    ->Arg(480)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(5);

/// A sample of the figures, priced: what repricing a run costs.
void price_a_sample(benchmark::State& state) {
  const timed::Profile profile = *timed::load_profile("neoverse-v2-72");
  const timed::ParamValues values = profile.central();
  scenario::HotRemoveSpec spec{};
  spec.regime = vmsa::regime(12, 48);
  spec.strategy = mm::strategies[2];
  spec.mapping = mm::mappings[0];
  spec.memory = timed::Bytes(std::uint64_t{1} << 30);
  const auto run = scenario::run_hot_remove(spec, timed::Prices(values, {72, 1}));
  for (auto _ : state) benchmark::DoNotOptimize(timed::Prices(values, {72, 1}).total(run.removal));
}
BENCHMARK(price_a_sample);

}  // namespace
}  // namespace shootdown
