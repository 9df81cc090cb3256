// SPDX-License-Identifier: MIT
// The prices. Each formula is one of docs/timed.md, in the same order.
#include "machine/timed/prices.hpp"

#include <algorithm>
#include <cmath>

namespace shootdown::timed {

namespace {

constexpr Phase phase_at(std::size_t index) {
  return {static_cast<Region>(index / 3), static_cast<Pass>(index % 3)};
}

/// What flushing in a phase is called.
constexpr Cost flush_cost(Phase phase) {
  if (phase.region == Region::none) return Cost::final_flush;
  const bool tables = phase.pass == Pass::tables;
  if (phase.region == Region::linear) return tables ? Cost::linear_table_flush : Cost::linear_leaf_flush;
  return tables ? Cost::vmemmap_table_flush : Cost::vmemmap_leaf_flush;
}

/// What reading and writing descriptors in a phase is called.
constexpr Cost walk_cost(Phase phase) {
  if (phase.region == Region::none) return Cost::other;
  const bool tables = phase.pass == Pass::tables;
  if (phase.region == Region::linear) return tables ? Cost::linear_table_scan : Cost::linear_clear;
  return tables ? Cost::vmemmap_table_scan : Cost::vmemmap_clear;
}

constexpr double as_number(std::uint64_t n) { return static_cast<double>(n); }

/// Of x^2 + p x + q = 0.
double larger_root(double p, double q) { return std::sqrt(std::max(0.0, p * p / 4 - q)) - p / 2; }

}  // namespace

Nanoseconds Breakdown::total() const {
  Nanoseconds sum;
  for (Nanoseconds part : parts) sum += part;
  return sum;
}

Breakdown& Breakdown::operator+=(const Breakdown& other) {
  for (std::size_t i = 0; i < parts.size(); ++i) parts[i] += other.parts[i];
  return *this;
}

Prices::Prices(const ParamValues& values, MachineSetup setup)
    : values_(values), setup_(setup), load_(figures_of(setup.load, values)) {
  broadcast_ = values.time(Param::broadcast_base) + values.time(Param::broadcast_per_cpu) * setup.cpus +
               values.time(Param::broadcast_per_socket) * (setup.sockets - 1.0);
}

Nanoseconds Prices::broadcast_of_load() const {
  if (setup_.cpus <= 2) return broadcast_;  // nobody to wait for
  const Nanoseconds service = values_.time(Param::broadcast_service);
  return max(broadcast_, service * (setup_.cpus - 1.0) - load_.broadcast_interval);
}

Nanoseconds Prices::broadcast_beside_load(Nanoseconds apart) const {
  if (!load_.broadcasts || setup_.cpus < 2) return broadcast_;
  const double m = setup_.cpus - 1.0;
  const double own = apart.value;
  const double other = load_.broadcast_interval.value;
  const double service = values_[Param::broadcast_service];
  const double alone = broadcast_.value;
  // Everybody waits equally long, R, at one server that is never idle: 1/(apart + R) + m/(interval + R) = 1/service.
  const double never_idle =
      larger_root(own + other - service * (1 + m), own * other - service * (other + m * own));
  // A server that is slow with many and mostly has one: each broadcast of another that comes in one round of ours,
  // m (apart + R)/(interval + R) of them, costs its own service and makes our next one a contended one.
  const double each = service + std::max(0.0, service - alone);
  const double mostly_one = larger_root(other - m * each - alone, -own * m * each - alone * other);
  return max(broadcast_, Nanoseconds(std::min(never_idle, mostly_one)));
}

Nanoseconds Prices::batch(const Batch& b, Nanoseconds latency) const {
  const double operations = as_number(b.operations());
  double slowest = b.singles > 0 ? 1.0 : 0.0;
  if (b.ranges > 0) slowest = std::max(slowest, values_[Param::range_factor]);
  if (b.alls > 0) slowest = std::max(slowest, values_[Param::flush_all_factor]);
  const Nanoseconds issue = values_.time(Param::broadcast_issue);
  // What a full queue drains at is a share of what completing one takes: for a lone issuer never more than its own.
  const Nanoseconds completion = min(values_.time(Param::broadcast_service), broadcast_);
  const Nanoseconds drain = completion * values_[Param::broadcast_backpressure];
  const double queued = std::max(0.0, operations - values_[Param::broadcast_queue_depth]);
  return latency * slowest + issue * (operations - 1) + max(Nanoseconds(0), drain - issue) * queued +
         values_.time(Param::range_per_64_pages) * (as_number(b.range_pages) / 64);
}

void Prices::add_own_work(const Tally& t, Phase phase, Breakdown& to) const {
  auto cost = [&](Param p, Event e) { return values_.time(p) * as_number(t[e]); };
  const double flushes = as_number(t[Event::flush_leaf] + t[Event::flush_table]);
  to[flush_cost(phase)] +=
      (values_.time(Param::barrier_store) + values_.time(Param::isb)) * flushes +
      values_.time(Param::barrier_store) * as_number(t.dsb[static_cast<std::size_t>(machine::Dsb::ishst)]) +
      values_.time(Param::barrier_store) * as_number(t.dsb[static_cast<std::size_t>(machine::Dsb::nshst)]) +
      values_.time(Param::barrier_idle) * as_number(t.dsb[static_cast<std::size_t>(machine::Dsb::ish)]) +
      values_.time(Param::local_flush) * as_number(t.dsb[static_cast<std::size_t>(machine::Dsb::nsh)]) +
      cost(Param::isb, Event::isb);
  to[walk_cost(phase)] += cost(Param::descriptor_read, Event::descriptor_read) +
                          cost(Param::descriptor_set, Event::descriptor_set) +
                          cost(Param::descriptor_clear, Event::descriptor_clear) +
                          cost(Param::line_near, Event::line_near) + cost(Param::line_far, Event::line_far) +
                          cost(Param::walk_cached, Event::walk_step);
  to[Cost::free_pages] += cost(Param::page_free, Event::page_free) +
                          cost(Param::page_free, Event::table_free) +
                          cost(Param::page_defer, Event::page_defer);
  to[Cost::other] += cost(Param::page_alloc, Event::page_alloc) +
                     cost(Param::page_alloc, Event::table_alloc) +
                     cost(Param::page_clear, Event::page_clear) + cost(Param::lock, Event::lock) +
                     cost(Param::reschedule, Event::reschedule);
}

PhaseTime Prices::phase(const Ledger& ledger, std::size_t index) const {
  PhaseTime time;
  const Tally& tally = ledger.phases[index];
  const Phase phase = phase_at(index);
  add_own_work(tally, phase, time.breakdown);
  const double flushes = as_number(tally[Event::flush_leaf] + tally[Event::flush_table]);
  double completions = flushes;
  for (const BatchCount& b : ledger.batches)
    if (b.phase == index) completions += as_number(b.count);
  if (completions == 0) return time;
  time.latency = broadcast_beside_load(time.breakdown.total() * (1 / completions));
  time.breakdown[flush_cost(phase)] += time.latency * flushes;
  for (const BatchCount& b : ledger.batches) {
    if (b.phase != index) continue;
    const Cost cost = b.batch.repeat ? Cost::erratum_repeat : flush_cost(phase);
    // The DSB that completes a batch was counted, and priced above, as one that finds nothing outstanding.
    const Nanoseconds each = batch(b.batch, time.latency) - values_.time(Param::barrier_idle);
    time.breakdown[cost] += each * as_number(b.count);
  }
  return time;
}

Breakdown Prices::breakdown(const Ledger& ledger) const {
  Breakdown result;
  for (std::size_t i = 0; i < phase_count; ++i) result += phase(ledger, i).breakdown;
  return result;
}

}  // namespace shootdown::timed
