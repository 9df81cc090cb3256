// SPDX-License-Identifier: MIT
// How fast the explorer is: the reference cases that SPIN explores too (bench/explorer.sh), and real hot-remove.
// Counters: states, transitions, environments, cpu_us and peak_kib of the process, states per second of its time.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include "explore/search.hpp"
#include "scenario/hot_remove.hpp"
#include "tests/reference/install_case.hpp"
#include "tests/reference/teardown_case.hpp"

namespace shootdown {
namespace {

rusage usage() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  return u;
}

double cpu_us(const rusage& u) {
  return 1e6 * static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/// Explores all states once an iteration.
void explore_all(benchmark::State& bench, const model::Setup& setup, model::Judge judge) {
  explore::SearchResult result;
  std::size_t envs = 0;
  const double before = cpu_us(usage());
  for (auto _ : bench) {
    model::System system(setup);
    explore::SearchOptions options;
    options.judge = judge;
    result = explore::search(system, system.initial(), options);
    envs = system.env_count();
  }
  if (result.ending != explore::Ending::exhausted) bench.SkipWithError("not exhausted");
  const rusage after = usage();
  const double us = (cpu_us(after) - before) / static_cast<double>(bench.iterations());
  bench.counters["states"] = static_cast<double>(result.states);
  bench.counters["transitions"] = static_cast<double>(result.transitions);
  bench.counters["environments"] = static_cast<double>(envs);
  bench.counters["cpu_us"] = us;
  bench.counters["states_per_s"] = 1e6 * static_cast<double>(result.states) / us;
  bench.counters["peak_kib"] = static_cast<double>(after.ru_maxrss);
}

/// Arguments: loaders, loads of each.
void teardown(benchmark::State& bench) {
  reference::TeardownSetup t;
  t.loaders = static_cast<unsigned>(bench.range(0));
  for (unsigned i = 0; i < bench.range(1); ++i) t.load_from.push_back(reference::detail::first_leaf + i % 4);
  explore_all(bench, set_up(t), model::Judge::nothing);
}
BENCHMARK(teardown)->Args({2, 8})->Args({3, 8})->Args({3, 9})->Iterations(1)->Unit(benchmark::kMillisecond);

/// Argument: CPUs.
void install(benchmark::State& bench) {
  explore_all(bench, set_up(reference::InstallSetup{static_cast<unsigned>(bench.range(0)), false}),
              model::Judge::nothing);
}
BENCHMARK(install)->Arg(3)->Arg(4)->Iterations(1)->Unit(benchmark::kMillisecond);

/// Arguments: page shift, index of the strategy, path. Three CPUs, with the reductions of `check`.
void hot_remove(benchmark::State& bench) {
  scenario::HotRemoveConfig c;
  c.real = vmsa::regime(static_cast<unsigned>(bench.range(0)), bench.range(0) == 14 ? 47 : 48);
  c.strategy = mm::strategies[static_cast<std::size_t>(bench.range(1))];
  c.path = static_cast<scenario::Path>(bench.range(2));
  if (!c.real.vmemmap_uses_blocks()) c.vmemmap = scenario::VmemmapKind::pages;
  explore_all(bench, scenario::set_up(c), model::Judge::everything);
}
constexpr int b = 3, t = 5, linear = 0, vmemmap = 1;
BENCHMARK(hot_remove)
    ->Args({12, b, linear})
    ->Args({12, t, linear})
    ->Args({16, b, vmemmap})
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace shootdown
