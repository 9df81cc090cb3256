// SPDX-License-Identifier: MIT
// The plugin's small mode: counts the instructions between the marks of machine/metal/marks.hpp, one number a line
// into a file. Looks at nothing else that the guest does.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "audit/plugin/qemu_api.hpp"
#include "audit/plugin/teardown_meter.hpp"

namespace shootdown::audit::plugin {

class Counter {
 public:
  bool open(const char* path);
  /// Each block adds its length when it begins; marks are told where they stand in theirs.
  void translated(qemu_plugin_tb* block);

 private:
  struct Place {
    Counter* counter;
    std::uint16_t mark;
    std::uint64_t ahead;  ///< instructions of the block that were counted before they were executed
  };
  static void on_mark(unsigned cpu, void* place);
  void marked(unsigned cpu, const Place& place);

  std::mutex mutex_;
  int fd_ = -1;
  qemu_plugin_u64 instructions_{};
  TeardownMeter meter_;
  std::map<std::pair<std::uint16_t, std::uint64_t>, Place> places_;  ///< QEMU keeps pointers to them
};

}  // namespace shootdown::audit::plugin
