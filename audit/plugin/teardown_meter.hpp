// SPDX-License-Identifier: MIT
// How many instructions one thread executes between two places, on whichever CPU it runs: what interrupts it and what
// runs in its place is not counted. Fed with the CPUs' own counters; knows nothing of QEMU.
#pragma once

#include <cstdint>

namespace shootdown::audit::plugin {

class TeardownMeter {
 public:
  /// `counter`: instructions that this CPU had executed before the one that says so.
  void begin(unsigned cpu, std::uint64_t counter) { *this = {cpu, counter}; }
  std::uint64_t end(unsigned cpu, std::uint64_t counter) {
    stop(cpu, counter);
    active_ = false;
    return sum_;
  }
  bool is_active() const { return active_; }
  bool runs_on(unsigned cpu) const { return active_ && running_ && cpu_ == cpu; }

  /// An exception was taken (or the experiment's own code begins); resume() is its return. They nest.
  void pause(unsigned cpu, std::uint64_t counter) {
    if (!runs_on(cpu)) return;
    if (depth_++ == 0) sum_ += counter - since_;
  }
  void resume(unsigned cpu, std::uint64_t counter) {
    if (!runs_on(cpu) || depth_ == 0) return;
    if (--depth_ == 0) since_ = counter;
  }

  /// Another thread takes the CPU, or the thread comes back, maybe on another one.
  void stop(unsigned cpu, std::uint64_t counter) {
    if (!runs_on(cpu)) return;
    if (depth_ == 0) sum_ += counter - since_;
    running_ = false;
  }
  void start(unsigned cpu, std::uint64_t counter) {
    if (!active_ || running_) return;
    running_ = true;
    cpu_ = cpu;
    since_ = counter;
  }

  TeardownMeter() = default;

 private:
  TeardownMeter(unsigned cpu, std::uint64_t counter)
      : active_(true), running_(true), cpu_(cpu), since_(counter) {}

  bool active_ = false;
  bool running_ = false;  ///< the thread is on a CPU
  unsigned cpu_ = 0;
  unsigned depth_ = 0;  ///< of the thread's exceptions
  std::uint64_t since_ = 0;
  std::uint64_t sum_ = 0;
};

}  // namespace shootdown::audit::plugin
