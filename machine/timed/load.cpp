// SPDX-License-Identifier: MIT
// From the figures of a profile to those of a load.
#include "machine/timed/load.hpp"

namespace shootdown::timed {

LoadFigures figures_of(Load load, const ParamValues& values) {
  const bool all = load == Load::memory;
  const double far = all ? 1 : values[Param::walk_memory_share];
  const double used = all ? 1 : values[Param::tlb_in_use];
  const Nanoseconds walk =
      values.time(Param::walk_cached) * (1 - far) + values.time(Param::walk_memory) * far;
  return {.runs = load != Load::idle,
          .refill = walk * (values[Param::tlb_entries] * used),
          .longest_walk = values.time(Param::walk_memory),
          .interrupts_off_share = load == Load::syscalls ? values[Param::interrupts_off_share] : 0,
          .broadcasts = load == Load::mprotect,
          .broadcast_interval = values.time(Param::broadcast_interval)};
}

}  // namespace shootdown::timed
