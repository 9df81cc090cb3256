// SPDX-License-Identifier: MIT
// Hot-remove as an experiment for the model: which CPU runs what, over which tables, and what must hold at the
// end. The procedures are mm/; the semantics are machine/model/.
#pragma once

#include <optional>
#include <string>

#include "machine/model/system.hpp"
#include "mm/hot_remove.hpp"

namespace shootdown::scenario {

enum class Path : std::uint8_t { linear, vmemmap, both };
enum class VmemmapKind : std::uint8_t { block, pages };
enum class Geometry : std::uint8_t { scaled, full };
enum class Experiment : std::uint8_t { hot_remove, hot_add };
/// Where the removed range lies: what is first, last and in between, and who is a neighbour.
enum class Extent : std::uint8_t {
  across,  ///< part of a leaf table, a whole one, part of another: all of them are freed, and tables above them
  inside,  ///< beside a neighbour in one leaf table: no table is freed, so nothing but its own flush helps a leaf
  long_range,  ///< 2^21 pages, as many as one range TLBI can say, in eight level 1 blocks of full tables
};

inline const char* name(Path p) {
  return p == Path::linear ? "linear" : p == Path::vmemmap ? "vmemmap" : "both";
}
inline const char* name(VmemmapKind v) { return v == VmemmapKind::block ? "block" : "pages"; }
inline const char* name(Extent e) {
  return e == Extent::across ? "across" : e == Extent::inside ? "inside" : "long";
}
const char* name(mm::TableRule rule);
const char* name(vmsa::LayoutAge age);

/// One cell of the matrix: everything that decides what is explored.
struct HotRemoveConfig {
  Experiment experiment = Experiment::hot_remove;
  mm::Strategy strategy = mm::strategies[0];
  vmsa::Regime real = vmsa::regime(12, 48);
  Geometry geometry = Geometry::scaled;
  unsigned cpus = 3;  ///< 2 to 4
  Path path = Path::linear;
  Extent extent = Extent::across;
  mm::Mapping mapping = mm::mappings[0];
  VmemmapKind vmemmap = VmemmapKind::block;
  vmsa::LayoutAge layout = vmsa::LayoutAge::today;
  mm::TableRule table_rule = mm::TableRule::floor_ceiling;
  machine::Features features{};
  bool dumper_takes_lock = true;  ///< off: the dumper before it learnt to
  bool memblock_last = true;      ///< off: the order before 2019, memblock removed first
  bool memmap_on_memory = false;  ///< struct pages are carved from each memory block itself
  std::optional<model::Mutation> mutation;
  bool early_reads = true;  ///< off: software reads in program order
};

/// Full geometry is a control of the scaling, for the default VA size of each granule; contiguous groups of real
/// size would give the model thousands of orders in which their stores can become visible.
constexpr bool has_full_geometry(const vmsa::Regime& r) {
  return r.va_bits == (r.page_shift == 14 ? 47u : 48u);
}

/// Pages of a long range: what one range TLBI of SCALE 3, NUM 31 covers. It is one section.
inline constexpr unsigned long_range_bits = 21;
/// Where blocks are removed, one page of vmemmap describes 2^2 pages of memory, and so a whole block of it.
inline constexpr unsigned scaled_block_bits = 2;

/// Why a combination does not exist, in words; nothing when it does.
std::optional<std::string> refuse(const HotRemoveConfig& c);

/// Tables are smaller than the real ones. A long range has real ones: its leaves are few.
constexpr bool has_scaled_tables(const HotRemoveConfig& c) {
  return c.geometry == Geometry::scaled && c.extent != Extent::long_range;
}

/// The regime that the model runs: the real one, scaled down or with small sections.
vmsa::Regime model_regime(const HotRemoveConfig& c);

/// What is where in the model's address space.
struct Arrangement {
  vmsa::Regime regime;
  mm::MemoryMap map;
  mm::PhysRange range;  ///< the memory that comes and goes
  mm::PhysRange
      neighbour;  ///< what stays mapped: in the same leaf table or under the same upper table, by extent
  mm::VirtAddr vmalloc;       ///< where the vmalloc user maps its page
  mm::PhysAddr vmalloc_page;  ///< and what it maps there
};
Arrangement arrange(const HotRemoveConfig& c);

/// The experiment, ready to be explored: tables built, CPUs at their start.
model::Setup set_up(const HotRemoveConfig& c);

/// The addresses of the range, as far as the experiment maps them.
std::vector<vmsa::VirtRange> mapped_ranges(const HotRemoveConfig& c, const Arrangement& a);

/// The neighbour's struct pages are mapped too: where they share a leaf table with those of the range.
bool maps_struct_pages_of_neighbour(const HotRemoveConfig& c);

/// A free page holds what its last owner left: a word that looks like a valid page or table, in the first, a middle and
/// the last place.
inline constexpr unsigned leftovers_per_page = 3;

/// Tables that the removed range's addresses still pass through at the end of a run, and did not before memory
/// was added.
unsigned tables_retained(const HotRemoveConfig& c, const model::World& end);

}  // namespace shootdown::scenario
