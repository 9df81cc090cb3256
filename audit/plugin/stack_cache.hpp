// SPDX-License-Identifier: MIT
// Kernel call stacks by frame records, numbered: the same stack has the same number, and is recorded once.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "audit/plugin/event_pipe.hpp"
#include "audit/plugin/guest_ram.hpp"

namespace shootdown::audit::plugin {

/// Where a CPU is: enough to find its callers.
struct CodePoint {
  std::uint64_t pc = 0;
  std::uint64_t frame = 0;  ///< x29
  std::uint64_t link = 0;   ///< x30
};

class StackCache {
 public:
  StackCache(const GuestRam& ram, EventPipe& pipe) : ram_(ram), pipe_(pipe) {}

  /// The number of the stack at this point. Frame 0 is the pc, frame 1 the link register (the caller, if the
  /// function is a leaf; the reader drops it otherwise), then the frame records.
  std::uint32_t number_of(const CodePoint& at, const Translation& kernel, unsigned cpu);

 private:
  static constexpr std::size_t depth_max = 14;
  /// A point seen before is taken to have the callers that it had then: the innermost frame record is compared,
  /// the outer ones are not.
  struct Key {
    CodePoint at;
    std::uint64_t saved_frame;
    std::uint64_t saved_link;
  };
  struct Slot {
    Key key{};
    std::uint32_t number = 0;
  };
  std::uint32_t intern(const std::vector<std::uint64_t>& frames, unsigned cpu);
  std::uint64_t read(const Translation& kernel, std::uint64_t va) const;

  const GuestRam& ram_;
  EventPipe& pipe_;
  std::array<Slot, 4096> recent_{};
  std::unordered_multimap<std::uint64_t, std::uint32_t> by_hash_;
  std::vector<std::vector<std::uint64_t>> stacks_{1};
};

}  // namespace shootdown::audit::plugin
