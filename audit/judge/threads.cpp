// SPDX-License-Identifier: MIT
#include "audit/judge/threads.hpp"

#include <fmt/format.h>

namespace shootdown::audit {

void Threads::event(const Event& e) {
  if (e.op == 0) {
    by_task_[e.a] = static_cast<std::uint32_t>(threads_.size());
    threads_.push_back({e.b, {}});
    return;
  }
  const std::uint32_t number = number_of(e.a);
  if (number == 0) return;
  for (std::uint64_t rest = e.b; (rest & 0xff) != 0; rest >>= 8) {
    const char c = static_cast<char>(rest & 0xff);
    threads_[number].name += c >= ' ' && c <= '~' ? c : '?';
  }
}

std::uint32_t Threads::number_of(std::uint64_t task) const {
  const auto it = by_task_.find(task);
  return it == by_task_.end() ? 0 : it->second;
}

std::string Threads::text(std::uint32_t number) const {
  if (number == 0) return "PID unknown";
  return fmt::format("PID {} ({})", threads_[number].pid, threads_[number].name);
}

}  // namespace shootdown::audit
