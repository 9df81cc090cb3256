// SPDX-License-Identifier: MIT
// What the world of one check holds: counted in its tables as they are built, not in what was meant. A verdict says
// nothing of a kind of leaf, table or neighbour that is not there.
#pragma once

#include <optional>
#include <vector>

#include "scenario/hot_remove.hpp"

namespace shootdown::scenario {

struct Inventory {
  std::uint64_t pages = 0;     ///< of memory in the range
  std::uint64_t sections = 0;  ///< that it lies in, those in part too
  struct Leaves {
    vmsa::Level level;
    unsigned count = 0;
    unsigned groups = 0;  ///< contiguous groups among them
  };
  std::vector<Leaves> leaves;  ///< of the range, from the root down; levels without any are left out
  unsigned group_members = 0;  ///< of a contiguous group; 0 when there is none
  /// Tables that hold leaves of the range: all their entries are the range's; some are; some, and others are in use.
  unsigned tables_whole = 0, tables_in_part = 0, tables_shared = 0;
  unsigned leftovers = leftovers_per_page;  ///< words that look like descriptors in a page that is allocated
  /// The largest range TLBI of a flush of the whole range; nothing when single ones or a flush of everything do it.
  struct RangeTlbi {
    std::uint64_t pages;
    unsigned scale, num;
  };
  std::optional<RangeTlbi> range_tlbi;
};

/// For hot-add: what is there once the memory has been added.
Inventory inventory(const HotRemoveConfig& config);

}  // namespace shootdown::scenario
