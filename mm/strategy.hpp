// SPDX-License-Identifier: MIT
// The strategies of hot-remove as data: when leaves are flushed, when pages and tables are freed.
// What each one does step by step is in unmap.hpp, free_tables.hpp and hot_remove.hpp.
#pragma once

#include <array>
#include <cstdint>

#include "mm/memory_map.hpp"

namespace shootdown::mm {

/// When pass 1 invalidates the leaves that it clears.
enum class LeafFlush : std::uint8_t {
  each_leaf,         ///< one flush after every leaf
  per_table_cursor,  ///< one per table of pages, but of the empty range at the loop's own cursor
  per_table,         ///< one per table of pages, after that table's part; blocks one by one
  whole_range,       ///< one after the walk; pages to free wait on a list until then
  later,             ///< none: the caller flushes leaves and tables together
};

/// When pass 2 frees a table that it has unlinked.
enum class TableFree : std::uint8_t {
  after_flush,   ///< flush, then free
  before_flush,  ///< free, then flush: the order that the RFC worried about
  later,         ///< put on the list; the caller flushes everything and frees
};

/// Which tables pass 2 may free.
enum class TableRule : std::uint8_t {
  floor_ceiling,  ///< those whose whole span lies inside the region (v5.7 to today)
  v7,             ///< none of vmemmap's when vmalloc and vmemmap share a top entry (V7 of 2019)
  any,            ///< every empty one, shared or not: wrong wherever vmalloc is a neighbour
};

struct Strategy {
  const char* name;
  const char* title;
  LeafFlush linear;
  LeafFlush vmemmap;
  TableFree tables;
};

/// Hot-remove's strategies, by the names of the posts.
inline constexpr std::array<Strategy, 7> strategies{{
    {"P", "per-leaf flush (up to v7.0)", LeafFlush::each_leaf, LeafFlush::each_leaf, TableFree::after_flush},
    {"R0", "the range-flush RFC as posted: its range is empty", LeafFlush::per_table_cursor,
     LeafFlush::per_table_cursor, TableFree::after_flush},
    {"R", "the RFC as intended: one range flush per table", LeafFlush::per_table, LeafFlush::per_table,
     TableFree::after_flush},
    {"B", "one flush of the whole linear range (48478b9f7913, v7.1)", LeafFlush::whole_range,
     LeafFlush::each_leaf, TableFree::after_flush},
    {"L", "B, and vmemmap pages on a list until one flush", LeafFlush::whole_range, LeafFlush::whole_range,
     TableFree::after_flush},
    {"T", "unlink everything, one flush for leaves and tables, then free", LeafFlush::later, LeafFlush::later,
     TableFree::later},
    {"freed-before-flush", "B with table pages freed before their flush", LeafFlush::whole_range,
     LeafFlush::each_leaf, TableFree::before_flush},
}};

/// How the linear map of new memory is built. Leaves larger than a page only down from `largest`.
struct Mapping {
  const char* name;
  Level largest;
  bool contiguous;
};
inline constexpr std::array<Mapping, 4> mappings{{
    {"pages", vmsa::page_level, false},  // rodata=full without BBML2: Grace, Neoverse-N1 to -V2
    {"contpte", vmsa::page_level, true},
    {"blocks", vmsa::pud_level, false},
    {"contpmd", vmsa::pmd_level, true},
}};

}  // namespace shootdown::mm
