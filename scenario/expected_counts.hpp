// SPDX-License-Identifier: MIT
// What a hot-remove must cost, derived with pencil and paper from (start, size, regime, mapping, strategy,
// features, neighbours): no walk over tables. It must never call mm/: it is what the
// counts of the procedures are held against.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "report/counts.hpp"
#include "vmsa/layout.hpp"
#include "vmsa/regime.hpp"

namespace shootdown::scenario {

/// One removal. Names are those of `list strategies`, `--mapping` and `--table-rule`.
struct RemovalCase {
  vmsa::Regime regime = vmsa::regime(12, 48);
  vmsa::LayoutAge layout = vmsa::LayoutAge::today;
  vmsa::PhysAddr memstart{};  ///< what the linear map's first address maps
  vmsa::PhysRange range{};    ///< whole sections
  std::string_view strategy = "B";
  std::string_view mapping = "pages";
  std::string_view table_rule = "floor-ceiling";
  bool vmemmap_pages = false;  ///< no vmemmap block could be allocated
  bool range_tlbi = true;
  bool repeat_tlbi = false;
  std::vector<vmsa::PhysRange> neighbours{};  ///< other memory that is mapped, with its struct pages
  bool vmalloc_neighbour = false;             ///< the last page below `vmalloc_end` is mapped
};

/// The counts, and what is behind them.
struct ExpectedCounts {
  report::Counts counts;
  std::uint64_t linear_leaves = 0;
  std::uint64_t vmemmap_leaves = 0;
  std::uint64_t linear_tables_freed = 0;
  std::uint64_t vmemmap_tables_freed = 0;
  /// Empty tables that the table rule leaves linked, in a tree that had none before the hot-add.
  std::uint64_t tables_retained = 0;
};

/// Unknown names are a bug of the caller (assert).
ExpectedCounts expected_counts(const RemovalCase& removal);

/// Operations that cover `pages` pages from `va`: the non-zero base-32 digits of floor(pages / 2),
/// one more for an odd page, and under LPA2 single pages up to the first 64 KiB boundary.
struct RangeOperations {
  std::uint64_t single = 0;
  std::uint64_t range = 0;
};
RangeOperations range_operations(const vmsa::Regime& regime, vmsa::VirtAddr va, std::uint64_t pages);

}  // namespace shootdown::scenario
