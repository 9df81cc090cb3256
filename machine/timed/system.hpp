// SPDX-License-Identifier: MIT
// The whole machine in time: a clock for each CPU, the interconnect that broadcasts share, interrupts, stopped
// machines and grace periods, and what every CPU loses to the others.
#pragma once

#include <vector>

#include "machine/timed/prices.hpp"

namespace shootdown::timed {

/// Broadcast invalidations of all CPUs go through one server: whoever comes while it is busy waits. How long one
/// occupies it is a measurement under contention; whoever finds it idle occupies it for no longer than it takes alone.
class Interconnect {
 public:
  /// A batch that arrives at `now` and alone would take `latency`; `work` is what it occupies the server for.
  /// Returns when it is complete. Arrivals are in order of time, or nearly.
  Nanoseconds complete(Nanoseconds now, Nanoseconds latency, Nanoseconds work) {
    const bool contended = free_at_ > now;
    free_at_ = contended ? free_at_ + work : now + min(work, latency);
    return max(now + latency, free_at_);
  }

 private:
  Nanoseconds free_at_;
};

/// How a set of CPUs is interrupted.
enum class SgiMode : std::uint8_t { broadcast, looped };
/// How CPUs are paused: an SGI each; a broadcast SGI with CPU bitmaps; with a flag and a counter.
enum class PauseMode : std::uint8_t { looped, bitmap, counter };

/// What the rest of the machine felt.
struct Bystanders {
  Nanoseconds stolen_total;  ///< over all CPUs but those that acted
  Nanoseconds stall_max;     ///< longest single time without progress on one of them
  unsigned interrupted_cpus = 0;
};

class System {
 public:
  System(const ParamValues& values, MachineSetup setup);

  Nanoseconds now(unsigned cpu) const { return cpus_[cpu].clock; }
  unsigned cpu_count() const { return static_cast<unsigned>(cpus_.size()); }
  std::uint64_t sgi_count() const { return sgi_count_; }
  const Prices& prices() const { return prices_; }

  /// `cpu` works for itself.
  void work(unsigned cpu, Nanoseconds time) { cpus_[cpu].clock += time; }
  /// `cpu` does all that the ledger says, beside the load of the others.
  void run(unsigned cpu, const Ledger& ledger);
  /// `cpu` issues one batch and waits for it, in line with those that the caller lets other CPUs issue.
  void broadcast(unsigned cpu, const Batch& batch);
  /// `cpu` invalidates its own TLB.
  void local_flush(unsigned cpu) { work(cpu, values_.time(Param::local_flush)); }
  /// `cpu` interrupts all others and waits until every handler has run.
  void interrupt_others(unsigned cpu, SgiMode mode);
  /// All others stand still while `cpu` does `body`.
  void pause_others(unsigned cpu, PauseMode mode, Nanoseconds body);
  /// The same through the scheduler's stopper threads.
  void stop_machine(unsigned cpu, Nanoseconds body);
  void synchronize_rcu(unsigned cpu, bool expedited);
  /// Returns when the callback may run; the caller goes on at once.
  Nanoseconds call_rcu(unsigned cpu);

  Bystanders bystanders() const;
  /// The time that the slowest of `n` CPUs keeps an interrupt waiting, on average over when it comes.
  Nanoseconds interrupts_off_wait(unsigned n) const;

 private:
  struct Cpu {
    Nanoseconds clock;
    Nanoseconds stolen;
    Nanoseconds stall_max;
    bool interrupted = false;
    bool acted = false;
  };
  void steal_from_others(unsigned cpu, Nanoseconds total, Nanoseconds longest, bool interrupt);
  /// All others receive what `cpu` broadcast within `elapsed`, and wait `queued` for broadcasts of their own.
  struct Received {
    double operations = 0;
    double flush_alls = 0;
    Nanoseconds elapsed;
    Nanoseconds queued{};          ///< each of them, in all
    Nanoseconds longest_queued{};  ///< at once
  };
  void receive(unsigned cpu, const Received& what);

  ParamValues values_;
  Prices prices_;
  std::vector<Cpu> cpus_;
  Interconnect interconnect_;
  std::uint64_t sgi_count_ = 0;
};

}  // namespace shootdown::timed
