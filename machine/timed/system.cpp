// SPDX-License-Identifier: MIT
// What the operations of the system cost the CPU that does them and all others. The formulas are explained in
// docs/timed.md.
#include "machine/timed/system.hpp"

namespace shootdown::timed {

System::System(const ParamValues& values, MachineSize size)
    : values_(values), prices_(values, size), cpus_(size.cpus) {}

void System::steal_from_others(unsigned cpu, Nanoseconds total, Nanoseconds longest, bool interrupt) {
  cpus_[cpu].acted = true;
  for (unsigned i = 0; i < cpus_.size(); ++i) {
    if (i == cpu) continue;
    cpus_[i].stolen += total;
    cpus_[i].stall_max = max(cpus_[i].stall_max, longest);
    cpus_[i].interrupted = cpus_[i].interrupted || interrupt;
  }
}

void System::receive(unsigned cpu, double operations, double flush_alls, Nanoseconds elapsed) {
  const Nanoseconds stall = values_.time(Param::receive_stall);
  const double far = values_[Param::walk_memory_share];
  const Nanoseconds walk =
      values_.time(Param::walk_cached) * (1 - far) + values_.time(Param::walk_memory) * far;
  const Nanoseconds refill = walk * (values_[Param::tlb_entries] * values_[Param::tlb_in_use]);
  // After a flush-all the load walks again for each entry that it comes back to, one walk at a time with
  // progress between them: much is stolen, and the longest stall is one walk behind the invalidation.
  Nanoseconds longest;
  if (operations > 0) longest = stall;
  if (flush_alls > 0) longest += values_.time(Param::walk_memory);
  // Nobody loses more time than there was, and one refill that follows the last flush: with flush-alls that come
  // faster than a TLB can refill, the others do nothing but walk.
  Nanoseconds most = elapsed;
  if (flush_alls > 0) most += refill;
  steal_from_others(cpu, min(stall * operations + refill * flush_alls, most), longest, false);
}

void System::run(unsigned cpu, const Ledger& ledger) {
  const Nanoseconds elapsed = prices_.total(ledger);
  work(cpu, elapsed);
  const Tally sum = ledger.total();
  std::uint64_t operations = 0;
  std::uint64_t flush_alls = 0;
  for (std::size_t i = 0; i < sum.tlbi.size(); ++i) {
    if (!vmsa::tlbi_ops[i].broadcast) continue;
    operations += sum.tlbi[i];
    if (!vmsa::tlbi_ops[i].by_va()) flush_alls += sum.tlbi[i];
  }
  receive(cpu, static_cast<double>(operations), static_cast<double>(flush_alls), elapsed);
}

void System::broadcast(unsigned cpu, const Batch& batch) {
  Cpu& c = cpus_[cpu];
  const Nanoseconds work =
      values_.time(Param::broadcast_service) *
      (1 + (static_cast<double>(batch.operations()) - 1) * values_[Param::broadcast_backpressure]);
  const Nanoseconds began = c.clock;
  c.clock = interconnect_.complete(began, prices_.batch(batch), work);
  receive(cpu, static_cast<double>(batch.operations()), batch.alls, c.clock - began);
}

Nanoseconds System::interrupts_off_wait(unsigned n) const {
  // Each CPU is, with probability p, in a section with interrupts off of which a uniform rest of up to L is to
  // come. The maximum over n has the distribution (1 - p + p x/L)^n, whose mean is this.
  const double p = values_[Param::interrupts_off_share];
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
