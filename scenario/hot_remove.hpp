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

inline const char* name(Path p) {
  return p == Path::linear ? "linear" : p == Path::vmemmap ? "vmemmap" : "both";
}
inline const char* name(VmemmapKind v) { return v == VmemmapKind::block ? "block" : "pages"; }
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
  mm::Mapping mapping = mm::mappings[0];
  VmemmapKind vmemmap = VmemmapKind::block;
  vmsa::LayoutAge layout = vmsa::LayoutAge::today;
  mm::TableRule table_rule = mm::TableRule::floor_ceiling;
  machine::Features features{};
  bool dumper_takes_lock = true;  ///< off: the dumper before it learnt to
  bool memblock_last = true;      ///< off: the order before 2019, memblock removed first
  std::optional<model::Mutation> mutation;
  bool early_reads = true;  ///< off: software reads in program order
};

/// Full geometry is a control of the scaling, for the default VA size of each granule; contiguous groups of real
/// size would give the model thousands of orders in which their stores can become visible.
constexpr bool has_full_geometry(const vmsa::Regime& r) {
  return r.va_bits == (r.page_shift == 14 ? 47u : 48u);
}

/// Why a combination does not exist, in words; nothing when it does.
std::optional<std::string> refuse(const HotRemoveConfig& c);

/// The regime that the model runs: the real one, scaled down or with small sections.
vmsa::Regime model_regime(const HotRemoveConfig& c);

/// What is where in the model's address space.
struct Arrangement {
  vmsa::Regime regime;
  mm::MemoryMap map;
  mm::PhysRange range;        ///< the memory that comes and goes: two sections
  mm::PhysAddr neighbour;     ///< a page mapped beside it, under the same upper table
  mm::VirtAddr vmalloc;       ///< where the vmalloc user maps its page
  mm::PhysAddr vmalloc_page;  ///< and what it maps there
};
Arrangement arrange(const HotRemoveConfig& c);

/// The experiment, ready to be explored: tables built, CPUs at their start.
model::Setup set_up(const HotRemoveConfig& c);

/// Tables that the removed range's addresses still pass through at the end of a run, and did not before memory
/// was added.
unsigned tables_retained(const HotRemoveConfig& c, const model::World& end);

}  // namespace shootdown::scenario
