// SPDX-License-Identifier: MIT
// Runs hot-add and hot-remove of mm/ on the timed machine for any of the ten regimes. Compiled with -O3: the
// procedures and the machine become one loop over descriptors.
#include "scenario/timed_hot_remove.hpp"

#include <time.h>

#include <utility>

#include "machine/timed/timed_machine.hpp"
#include "mm/hot_add.hpp"

namespace shootdown::scenario {

namespace {

using timed::Ledger;
using timed::Nanoseconds;
using timed::TimedMachine;
using vmsa::PhysAddr;
using vmsa::PhysRange;
using vmsa::Regime;

/// Finds the dearest stretch between two points where the scheduler may run something else: what RCU waits for.
class StretchWatch : public timed::RescheduleObserver {
 public:
  explicit StretchWatch(const timed::Prices& prices) : prices_(prices) {}

  void rescheduled(const Ledger& ledger) override { end_stretch(ledger); }
  void end_stretch(const Ledger& ledger) {
    const Nanoseconds now = prices_.total(ledger);
    if (now - began_ > longest_time_) {
      longest_time_ = now - began_;
      longest_ = ledger.since(at_begin_);
    }
    began_ = now;
    at_begin_ = ledger;
  }
  Ledger longest() && { return std::move(longest_); }

 private:
  const timed::Prices& prices_;
  Nanoseconds began_;
  Ledger at_begin_;
  Nanoseconds longest_time_{-1};
  Ledger longest_;
};

/// Seconds that this thread has had of a core: what else runs on the host does not count.
double core_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

PhysRange range_of(const Placement& p, timed::Bytes memory) {
  return {PhysAddr(p.start), PhysAddr(p.start + memory.value)};
}

template <Regime R>
void remove(TimedMachine& m, const HotRemoveSpec& spec, const mm::MemoryMap& map, PhysRange range) {
  const mm::RemovePlan plan{spec.strategy};
  if (!spec.blocks_one_by_one) return mm::try_remove_memory<R>(m, map, range, plan);
  for (PhysAddr pa = range.start; pa != range.end; pa += R.section_size()) {
    mm::try_remove_memory<R>(m, map, {pa, pa + R.section_size()}, plan);
    m.cond_resched();  // each is a request of its own, from user space or a work item
  }
}

template <Regime R>
bool build(TimedMachine& m, const HotRemoveSpec& spec, const mm::MemoryMap& map, PhysRange range,
           const Placement& placement) {
  const mm::RemovePlan undo{spec.strategy};
  const PhysRange neighbour{range.start - placement.neighbour_bytes, range.start};
  if (!mm::add_memory<R>(m, map, neighbour, spec.mapping, undo)) return false;
  if (!spec.blocks_one_by_one) return mm::add_memory<R>(m, map, range, spec.mapping, undo);
  // What is removed block by block was added so: no leaf reaches over a block's end.
  for (PhysAddr pa = range.start; pa != range.end; pa += R.section_size())
    if (!mm::add_memory<R>(m, map, {pa, pa + R.section_size()}, spec.mapping, undo)) return false;
  return true;
}

template <Regime R>
HotRemoveRun run(const HotRemoveSpec& spec, const timed::Prices& prices) {
  const double began = core_seconds();
  const Placement placement = place(R, spec.memory);
  const PhysRange range = range_of(placement, spec.memory);
  const mm::MemoryMap map{vmsa::layout(R, vmsa::LayoutAge::today), PhysAddr(0)};
  TimedMachine m({.regime = R,
                  .cpus = 1,
                  .features = {.range_tlbi = spec.range_tlbi, .repeat_tlbi = spec.repeat_tlbi},
                  .table_capacity = host_bytes_needed(spec),
                  .large_pages = spec.vmemmap_blocks});
  if (!build<R>(m, spec, map, range, placement)) throw std::bad_alloc();
  HotRemoveRun result;
  result.tables_built = m.ledger().total()[timed::Event::table_alloc];
  const std::uint64_t tables_before = m.tables_in_use();
  StretchWatch watch(prices);
  m.start_window();
  m.observe(&watch);
  remove<R>(m, spec, map, range);
  watch.end_stretch(m.ledger());
  result.removal = m.ledger();
  result.longest_stretch = std::move(watch).longest();
  result.tables_kept = result.tables_built - (tables_before - m.tables_in_use());
  for (const char* warning : m.warnings()) result.warnings.emplace_back(warning);
  result.host_peak = m.host_bytes();
  result.host_seconds = core_seconds() - began;
  return result;
}

using Runner = HotRemoveRun (*)(const HotRemoveSpec&, const timed::Prices&);

template <std::size_t... I>
Runner find_runner(const Regime& regime, std::index_sequence<I...>) {
  Runner found = nullptr;
  ((vmsa::regimes[I] == regime ? void(found = &run<vmsa::regimes[I]>) : void()), ...);
  return found;
}

}  // namespace

HotRemoveRun run_hot_remove(const HotRemoveSpec& spec, const timed::Prices& prices) {
  return find_runner(spec.regime, std::make_index_sequence<vmsa::regimes.size()>())(spec, prices);
}

}  // namespace shootdown::scenario
