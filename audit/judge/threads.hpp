// SPDX-License-Identifier: MIT
// Who a thread was at a time: its pid and name as of its last switch, kept when its task_struct has become another's.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "audit/trace/event.hpp"

namespace shootdown::audit {

class Threads {
 public:
  void event(const Event& thread);
  /// Who this task is now: a number for text(); 0 where the trace does not say.
  std::uint32_t number_of(std::uint64_t task) const;
  /// "PID 57 (kworker/0:1)", "PID unknown".
  std::string text(std::uint32_t number) const;

 private:
  struct Thread {
    std::uint64_t pid = 0;
    std::string name;
  };
  std::vector<Thread> threads_{1};
  boost::unordered_flat_map<std::uint64_t, std::uint32_t> by_task_;
};

}  // namespace shootdown::audit
