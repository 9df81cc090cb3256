// SPDX-License-Identifier: MIT
// Independent jobs on all cores, their results handed over in the order of the jobs, each as soon as it and all
// before it are there.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace shootdown::cli {

/// Runs `work(job)` for every job below `count` with `workers` threads, and `sink(job, result)` on the calling thread.
/// The first exception of a job ends everything and is thrown here, once the jobs under way are done.
template <typename Result, typename Work, typename Sink>
void in_order(std::size_t count, unsigned workers, Work&& work, Sink&& sink) {
  std::mutex mutex;
  std::condition_variable ready;
  std::vector<std::optional<Result>> results(count);
  std::exception_ptr failure;
  std::size_t next = 0;
  auto worker = [&] {
    for (;;) {
      std::size_t job = 0;
      {
        const std::lock_guard lock(mutex);
        if (next == count || failure) return;
        job = next++;
      }
      try {
        Result result = work(job);
        const std::lock_guard lock(mutex);
        results[job] = std::move(result);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
      }
      ready.notify_one();
    }
  };
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < std::min<std::size_t>(workers, count); ++i) threads.emplace_back(worker);
  for (std::size_t job = 0; job < count; ++job) {
    std::optional<Result> result;
    {
      std::unique_lock lock(mutex);
      ready.wait(lock, [&] { return results[job].has_value() || failure; });
      if (!results[job]) break;
      result.swap(results[job]);
    }
    sink(job, std::move(*result));
  }
  threads.clear();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace shootdown::cli
