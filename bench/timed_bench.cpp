// SPDX-License-Identifier: MIT
// The timed machine against a bare loop over the same memory, both in every iteration: hot-add and hot-remove by P,
// which flushes each leaf, beside writing, clearing and twice scanning as many descriptors, each by one 64-bit access.
// Argument: GiB of simulated memory, 4K pages. Reported: median seconds of each, nanoseconds a page, and the median of
// the iterations' ratios. Both begin with memory that the host has not given them yet, and that has just been in use:
// without that, whoever comes second after a pause pays for pages that a hypervisor has taken back.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

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

class Mapping {
 public:
  explicit Mapping(std::size_t bytes) : bytes_(bytes) {
    address_ =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address_ == MAP_FAILED) std::abort();
    madvise(address_, bytes, MADV_HUGEPAGE);
  }
  ~Mapping() { munmap(address_, bytes_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  volatile std::uint64_t* words() const { return static_cast<volatile std::uint64_t*>(address_); }

 private:
  std::size_t bytes_;
  void* address_;
};

/// Leaves as much memory as a run takes freshly used and free.
void warm(std::uint64_t pages) {
  const Mapping mapping(pages * sizeof(std::uint64_t));
  for (std::uint64_t i = 0; i < pages; i += 512) mapping.words()[i] = 1;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Descriptor by descriptor, as volatile demands: a descriptor access may be neither merged nor split.
void bare_loop(std::uint64_t pages) {
  const Mapping mapping(pages * sizeof(std::uint64_t));
  volatile std::uint64_t* const slots = mapping.words();
  constexpr std::uint64_t table = 512;
  std::uint64_t left = 0;
  for (std::uint64_t i = 0; i < pages; ++i) slots[i] = i << 12 | 3;
  for (std::uint64_t i = 0; i < pages; ++i)
    if (slots[i] != 0) slots[i] = 0;
  for (std::uint64_t t = 0; t < pages; t += table)
    for (int scan = 0; scan < 2; ++scan)
      for (std::uint64_t i = t; i < t + table; ++i) left += slots[i] != 0 ? 1 : 0;
  benchmark::DoNotOptimize(left);
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
  std::vector<double> bare, timed_run, ratio;
  std::uint64_t peak = 0;
  for (auto _ : state) {
    warm(pages);
    bare.push_back(seconds_of([&] { bare_loop(pages); }));
    warm(pages);
    timed_run.push_back(seconds_of([&] { peak = scenario::run_hot_remove(spec, prices).host_peak.value; }));
    ratio.push_back(timed_run.back() / bare.back());
  }
  state.counters["bare_s"] = median(bare);
  state.counters["timed_s"] = median(timed_run);
  state.counters["bare_ns_page"] = median(bare) / static_cast<double>(pages) * 1e9;
  state.counters["timed_ns_page"] = median(timed_run) / static_cast<double>(pages) * 1e9;
  state.counters["ratio"] = median(ratio);
  state.counters["peak_GiB"] = static_cast<double>(peak) / 0x1p30;
}
BENCHMARK(hot_remove_by_p_against_a_bare_loop)
    ->Arg(32)
    ->Arg(480)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(9);

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
