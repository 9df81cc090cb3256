// SPDX-License-Identifier: MIT
#include "cli/progress.hpp"

#include <fmt/format.h>

namespace shootdown::cli {
namespace {

std::string short_count(double n) {
  if (n >= 1e6) return fmt::format("{:.1f} M", n / 1e6);
  if (n >= 1e3) return fmt::format("{:.0f} k", n / 1e3);
  return fmt::format("{:.0f}", n);
}

}  // namespace

void Progress::started(std::size_t job, std::string name) {
  if (out_ == nullptr) return;
  const std::lock_guard lock(mutex_);
  running_[job] = {std::move(name), {}};
  draw();
}

void Progress::report(std::size_t job, const explore::Progress& p) {
  if (out_ == nullptr) return;
  const std::lock_guard lock(mutex_);
  running_[job].at = p;
  draw();
}

void Progress::finished(std::size_t job, std::uint64_t states) {
  if (out_ == nullptr) return;
  const std::lock_guard lock(mutex_);
  running_.erase(job);
  ++done_;
  states_done_ += states;
  draw();
}

void Progress::clear() {
  if (out_ == nullptr) return;
  const std::lock_guard lock(mutex_);
  if (shown_) *out_ << "\r\x1b[K" << std::flush;
  shown_ = false;
}

void Progress::draw() {
  const auto now = Clock::now();
  if (now - drawn_ < std::chrono::milliseconds(100)) return;
  drawn_ = now;
  std::uint64_t states = states_done_;
  const Job* largest = nullptr;
  for (const auto& [number, job] : running_) {
    states += job.at.states;
    if (largest == nullptr || job.at.states > largest->at.states) largest = &job;
  }
  const double seconds = std::chrono::duration<double>(now - start_).count();
  std::string text =
      fmt::format("[{}/{}] {} states, {}/s", done_, total_, short_count(static_cast<double>(states)),
                  short_count(static_cast<double>(states) / std::max(seconds, 0.1)));
  if (largest != nullptr)
    text += fmt::format("; {}: depth {}, frontier {}", largest->name, largest->at.depth,
                        short_count(static_cast<double>(largest->at.frontier)));
  *out_ << '\r' << text << "\x1b[K" << std::flush;
  shown_ = true;
}

}  // namespace shootdown::cli
