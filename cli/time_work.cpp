// SPDX-License-Identifier: MIT
// A thread a core; a job starts when its memory fits beside those that run.
#include "cli/time_work.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <new>
#include <thread>

#include "cli/exit_code.hpp"
#include "cli/interrupt.hpp"

namespace shootdown::cli {

namespace {

using Clock = std::chrono::steady_clock;

/// What the host says it can still provide; a generous guess where it says nothing.
std::uint64_t available_bytes() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  std::uint64_t kib = 0;
  for (std::string rest; meminfo >> key >> kib; std::getline(meminfo, rest))
    if (key == "MemAvailable:") return kib << 10;
  return std::uint64_t{4} << 30;
}

std::string gigabytes(std::uint64_t bytes) {
  return fmt::format("{:.1f}G", static_cast<double>(bytes) / 0x1p30);
}

class Workers {
 public:
  Workers(const TimeWork& work, const TimeSink& sink)
      : work_(work), sink_(sink), available_(available_bytes()), began_(Clock::now()) {
    for (std::size_t job : work.todo) total_ += cost(job);
  }

  tl::expected<void, Refusal> run() {
    for (std::size_t job : work_.todo)
      if (needs(job) > available_)
        return tl::unexpected(
            Refusal{exit_code::unavailable,
                    fmt::format("{} of memory need {} of the host's for their tables, {} are available",
                                report::readable_bytes(spec(job).memory), gigabytes(needs(job)),
                                gigabytes(available_))});
    const std::size_t count = std::min<std::size_t>(work_.plan.workers, work_.todo.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 1; i < count; ++i) threads.emplace_back([this] { loop(); });
    loop();
    for (std::thread& t : threads) t.join();
    clear_progress();
    if (failure_) return tl::unexpected(*failure_);
    return {};
  }

 private:
  const scenario::HotRemoveSpec& spec(std::size_t job) const { return work_.plan.jobs[job].spec; }
  std::uint64_t needs(std::size_t job) const { return scenario::host_bytes_needed(spec(job)).value; }
  /// Work is proportional to tables, with something for the fixed part.
  double cost(std::size_t job) const { return static_cast<double>(needs(job)) + 1e6; }

  void loop() {
    std::unique_lock lock(mutex_);
    while (next_ < work_.todo.size() && !failure_) {
      if (stop_) {
        failure_ = Refusal{exit_code::interrupted,
                           "interrupted; a sweep with -o goes on from here when it is run again"};
        break;
      }
      const std::size_t job = work_.todo[next_];
      if (in_use_ != 0 && in_use_ + needs(job) > available_) {
        changed_.wait(lock);
        continue;
      }
      ++next_;
      in_use_ += needs(job);
      lock.unlock();
      auto results = price(job);
      lock.lock();
      in_use_ -= needs(job);
      done_ += cost(job);
      ++done_count_;
      const auto taken = results ? sink_(job, std::move(*results)) : tl::unexpected(results.error());
      if (!taken && !failure_) failure_ = taken.error();
      show_progress();
      changed_.notify_all();
    }
  }

  tl::expected<std::vector<report::TimeResult>, Refusal> price(std::size_t job) const {
    const TimePlan& plan = work_.plan;
    const TimeJob& j = plan.jobs[job];
    try {
      const timed::Prices prices(plan.profile.central(), plan.priced_on(j.cpus.front()).setup());
      const scenario::HotRemoveRun run = scenario::run_hot_remove(j.spec, prices);
      std::vector<report::TimeResult> results;
      for (unsigned cpus : j.cpus)
        results.push_back(scenario::price_hot_remove(j.spec, run, plan.priced_on(cpus)));
      return results;
    } catch (const std::bad_alloc&) {
      return tl::unexpected(
          Refusal{exit_code::unavailable, fmt::format("the host ran out of memory for the tables of {}",
                                                      report::readable_bytes(j.spec.memory))});
    }
  }

  void show_progress() {
    if (work_.progress == nullptr) return;
    const double spent = std::chrono::duration<double>(Clock::now() - began_).count();
    const double left = done_ > 0 ? spent * (total_ - done_) / done_ : 0;
    *work_.progress << fmt::format("\r\033[Ktime: {}/{} runs, {:.0f} % of the descriptors, {:.0f} s to go",
                                   done_count_, work_.todo.size(), 100 * done_ / total_, left)
                    << std::flush;
  }
  void clear_progress() {
    if (work_.progress != nullptr) *work_.progress << "\r\033[K" << std::flush;
  }

  const std::atomic<bool>& stop_ = stop_on_signals();
  const TimeWork& work_;
  const TimeSink& sink_;
  std::uint64_t available_;
  Clock::time_point began_;
  double total_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t next_ = 0;
  std::size_t done_count_ = 0;
  double done_ = 0;
  std::uint64_t in_use_ = 0;
  std::optional<Refusal> failure_;
};

}  // namespace

tl::expected<void, Refusal> do_time_work(const TimeWork& work, const TimeSink& sink) {
  return Workers(work, sink).run();
}

}  // namespace shootdown::cli
