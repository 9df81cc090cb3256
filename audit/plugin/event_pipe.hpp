// SPDX-License-Identifier: MIT
// Events out of the QEMU process: encoded into chunks, each written to a pipe behind two 32-bit numbers (its
// bytes, its events). Callers hold the plugin's lock.
#pragma once

#include "audit/trace/codec.hpp"

namespace shootdown::audit::plugin {

class EventPipe {
 public:
  void open(int fd);
  void put(const Event& e);
  void flush();

 private:
  void put_clock();

  EventEncoder encoder_;
  int fd_ = -1;
  unsigned until_clock_ = 0;
  std::uint64_t started_us_ = 0;
  std::uint64_t last_us_ = 0;
};

}  // namespace shootdown::audit::plugin
