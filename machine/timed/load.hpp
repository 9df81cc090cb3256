// SPDX-License-Identifier: MIT
// What the other CPUs of the machine are busy with while one of them changes tables: what can be stolen from them,
// and what they do to the one that works. All of them do the same.
#pragma once

#include <array>
#include <string_view>

#include "machine/timed/parameters.hpp"

namespace shootdown::timed {

enum class Load : std::uint8_t {
  idle,      ///< they wait for interrupts: nothing to steal
  compute,   ///< user code that comes back to a part of its TLB
  syscalls,  ///< the same, and often in the kernel with interrupts off
  memory,    ///< user code that comes back to all of its TLB, and whose walks go to memory
  mprotect,  ///< user code that changes mappings: each change is a broadcast of its own
};
struct LoadInfo {
  std::string_view name;
  std::string_view meaning;
};
inline constexpr std::array<LoadInfo, 5> loads{{
    {"idle", "they wait for interrupts"},
    {"compute", "user code that comes back to a part of its TLB"},
    {"syscalls", "the same, and often in the kernel with interrupts off"},
    {"memory", "user code that comes back to all of its TLB, and whose walks go to memory"},
    {"mprotect", "user code that changes mappings, each change with a broadcast TLBI"},
}};
constexpr std::string_view load_name(Load load) { return loads[static_cast<std::size_t>(load)].name; }

/// One CPU's load in figures.
struct LoadFigures {
  bool runs = true;                 ///< there is progress to lose
  Nanoseconds refill;               ///< walks that follow a flush of everything, all together
  Nanoseconds longest_walk;         ///< one of them
  double interrupts_off_share = 0;  ///< of its time
  bool broadcasts = false;          ///< it issues TLBIs to everybody,
  Nanoseconds broadcast_interval;   ///< after this much work of its own each
};
LoadFigures figures_of(Load load, const ParamValues& values);

}  // namespace shootdown::timed
