// SPDX-License-Identifier: MIT
// What the operations of the system cost the CPU that does them and all others. The formulas are explained in
// docs/timed.md.
#include "machine/timed/system.hpp"

namespace shootdown::timed {

System::System(const ParamValues& values, MachineSetup setup)
    : values_(values), prices_(values, setup), cpus_(setup.cpus) {}

void System::steal_from_others(unsigned cpu, Nanoseconds total, Nanoseconds longest, bool interrupt) {
  cpus_[cpu].acted = true;
  for (unsigned i = 0; i < cpus_.size(); ++i) {
    if (i == cpu) continue;
    cpus_[i].interrupted = cpus_[i].interrupted || interrupt;
    if (!prices_.load().runs) continue;
    cpus_[i].stolen += total;
    cpus_[i].stall_max = max(cpus_[i].stall_max, longest);
  }
}

void System::receive(unsigned cpu, const Received& what) {
  const LoadFigures& load = prices_.load();
  const Nanoseconds stall = values_.time(Param::receive_stall);
  // After a flush of everything the load walks again for each entry that it comes back to, one walk at a time with
  // progress between them: much is stolen, and the longest stall is one walk behind the invalidation.
  Nanoseconds longest;
  if (what.operations > 0) longest = stall;
  if (what.flush_alls > 0) longest += load.longest_walk;
  // Nobody loses more time than there was, and one refill that follows the last flush: with flushes of everything that
  // come faster than a TLB can refill, the others do nothing but walk.
  Nanoseconds most = what.elapsed;
  if (what.flush_alls > 0) most += load.refill;
  const Nanoseconds stolen = stall * what.operations + load.refill * what.flush_alls + what.queued;
  steal_from_others(cpu, min(stolen, most), max(longest, what.longest_queued), false);
}

void System::run(unsigned cpu, const Ledger& ledger) {
  Received others;
  for (std::size_t i = 0; i < phase_count; ++i) {
    const PhaseTime phase = prices_.phase(ledger, i);
    const Nanoseconds elapsed = phase.breakdown.total();
    others.elapsed += elapsed;
    if (!prices_.load().broadcasts || phase.latency == Nanoseconds(0)) continue;
    // A broadcast of the load takes as long as one of ours, and more than it would without ours.
    const Nanoseconds more = max(Nanoseconds(0), phase.latency - prices_.broadcast_of_load());
    others.queued += more * (elapsed / (prices_.load().broadcast_interval + phase.latency));
    others.longest_queued = max(others.longest_queued, more);
  }
  const Tally sum = ledger.total();
  for (std::size_t i = 0; i < sum.tlbi.size(); ++i) {
    if (!vmsa::tlbi_ops[i].broadcast) continue;
    others.operations += static_cast<double>(sum.tlbi[i]);
    if (!vmsa::tlbi_ops[i].by_va()) others.flush_alls += static_cast<double>(sum.tlbi[i]);
  }
  work(cpu, others.elapsed);
  receive(cpu, others);
}

void System::broadcast(unsigned cpu, const Batch& batch) {
  Cpu& c = cpus_[cpu];
  const Nanoseconds work =
      values_.time(Param::broadcast_service) *
      (1 + (static_cast<double>(batch.operations()) - 1) * values_[Param::broadcast_backpressure]);
  const Nanoseconds began = c.clock;
  c.clock = interconnect_.complete(began, prices_.batch(batch), work);
  receive(cpu, {.operations = static_cast<double>(batch.operations()),
                .flush_alls = static_cast<double>(batch.alls),
                .elapsed = c.clock - began});
}

Nanoseconds System::interrupts_off_wait(unsigned n) const {
  // Each CPU is, with probability p, in a section with interrupts off of which a uniform rest of up to L is to
  // come. The maximum over n has the distribution (1 - p + p x/L)^n, whose mean is this.
  const double p = prices_.load().interrupts_off_share;
  if (p <= 0 || n == 0) return {};
  double none_off = 1;
  for (unsigned i = 0; i <= n; ++i) none_off *= 1 - p;
  return values_.time(Param::interrupts_off_longest) * (1 - (1 - none_off) / (p * (n + 1.0)));
}

void System::interrupt_others(unsigned cpu, SgiMode mode) {
  const unsigned n = cpu_count() - 1;
  sgi_count_ += n;
  const Param per_cpu = mode == SgiMode::looped ? Param::ipi_per_cpu_looped : Param::ipi_per_cpu_broadcast;
  work(cpu, values_.time(Param::ipi_base) + values_.time(per_cpu) * n + interrupts_off_wait(n));
  const Nanoseconds handler = values_.time(Param::ipi_handler);
  steal_from_others(cpu, handler, handler, true);
}

void System::pause_others(unsigned cpu, PauseMode mode, Nanoseconds body) {
  const unsigned n = cpu_count() - 1;
  sgi_count_ += n;
  const Param per_cpu = mode == PauseMode::looped   ? Param::pause_per_cpu_looped
                        : mode == PauseMode::bitmap ? Param::pause_per_cpu_bitmap
                                                    : Param::pause_per_cpu_counter;
  const Nanoseconds time =
      values_.time(Param::pause_base) + values_.time(per_cpu) * n + interrupts_off_wait(n) + body;
  work(cpu, time);
  steal_from_others(cpu, time, time, true);
}

void System::stop_machine(unsigned cpu, Nanoseconds body) {
  const unsigned n = cpu_count() - 1;
  sgi_count_ += n;  // each stopper thread is woken by a reschedule interrupt
  const Nanoseconds time = values_.time(Param::stop_machine_base) +
                           values_.time(Param::stop_machine_per_cpu) * n + interrupts_off_wait(n) + body;
  work(cpu, time);
  steal_from_others(cpu, time, time, true);
}

void System::synchronize_rcu(unsigned cpu, bool expedited) {
  if (!expedited) return work(cpu, values_.time(Param::rcu_grace_period));
  work(cpu, values_.time(Param::rcu_expedited));
  sgi_count_ += cpu_count() - 1;
  const Nanoseconds handler = values_.time(Param::ipi_handler);
  steal_from_others(cpu, handler, handler, true);
}

Nanoseconds System::call_rcu(unsigned cpu) {
  work(cpu, values_.time(Param::rcu_callback));
  return now(cpu) + values_.time(Param::rcu_grace_period);
}

Bystanders System::bystanders() const {
  Bystanders sum;
  for (const Cpu& c : cpus_) {
    if (c.acted) continue;
    sum.stolen_total += c.stolen;
    sum.stall_max = max(sum.stall_max, c.stall_max);
    sum.interrupted_cpus += c.interrupted ? 1 : 0;
  }
  return sum;
}

}  // namespace shootdown::timed
