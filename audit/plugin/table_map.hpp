// SPDX-License-Identifier: MIT
// Which pages of guest RAM are translation tables, learnt by following the links: a store that links a table
// makes its page one, with everything below it. A page stays one until it is given back.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "audit/plugin/event_pipe.hpp"
#include "audit/plugin/guest_ram.hpp"

namespace shootdown::audit::plugin {

class TableMap {
 public:
  TableMap(const GuestRam& ram, EventPipe& pipe) : ram_(ram), pipe_(pipe) {}

  /// A root is in use from here on: recorded, with all that hangs below, unless it is known.
  void add_root(const vmsa::Regime& regime, std::uint64_t root, unsigned cpu);

  /// Cheap: is the page of this address worth a closer look?
  bool may_hold_table(std::uint64_t pa) const {
    const std::uint64_t page = (pa - ram_.start()) >> page_shift_;
    return page < kinds_.size() && kinds_[page] != 0;
  }
  /// Memory at [pa, pa + bytes) was written: records each slot of a table in it.
  void stored(std::uint64_t pa, unsigned bytes, unsigned cpu, std::uint32_t stack);
  /// The memory is given back: no table any more.
  void released(std::uint64_t pa, std::uint64_t bytes);

 private:
  static constexpr std::uint8_t holds_small_roots = 0x80;

  struct SmallRoot {
    std::uint64_t bytes;
    vmsa::Level level;
  };

  void ensure_size(unsigned page_shift);
  /// The level of the table at this slot; false when it belongs to none.
  bool level_at(std::uint64_t slot, vmsa::Level& level) const;
  void record_slot(std::uint64_t slot, std::uint64_t value, unsigned cpu, std::uint32_t stack);
  void add_table(std::uint64_t page, vmsa::Level level, unsigned cpu);
  void record_table(std::uint64_t start, std::uint64_t bytes, vmsa::Level level, bool root, unsigned cpu);

  const GuestRam& ram_;
  EventPipe& pipe_;
  vmsa::Regime regime_;  ///< of output addresses: the same for both halves
  unsigned page_shift_ = 12;
  std::vector<std::uint8_t> kinds_;  ///< by page: 0, or level + 2, or holds_small_roots
  std::map<std::uint64_t, SmallRoot> small_roots_;
};

}  // namespace shootdown::audit::plugin
