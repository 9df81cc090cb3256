// SPDX-License-Identifier: MIT
// One line on a terminal that says how searches get on: done, states, rate, depth, frontier. Silent elsewhere.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <ostream>
#include <string>

#include "explore/search.hpp"

namespace shootdown::cli {

class Progress {
 public:
  /// `terminal` null: says nothing.
  Progress(std::ostream* terminal, std::size_t total) : out_(terminal), total_(total) {}
  Progress(const Progress&) = delete;
  ~Progress() { clear(); }

  void started(std::size_t job, std::string name);
  void report(std::size_t job, const explore::Progress& p);
  void finished(std::size_t job, std::uint64_t states);
  /// Takes the line away, so that results can be written.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  struct Job {
    std::string name;
    explore::Progress at{};
  };
  void draw();

  std::ostream* out_;
  std::size_t total_;
  std::size_t done_ = 0;
  std::uint64_t states_done_ = 0;
  std::map<std::size_t, Job> running_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_{};
  bool shown_ = false;
  std::mutex mutex_;
};

}  // namespace shootdown::cli
