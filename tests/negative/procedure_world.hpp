// SPDX-License-Identifier: MIT
// A hot-remove experiment in which CPU 0 runs a procedure of the test's own instead of mm/'s: for wrong procedures
// that no weakening of a single operation makes.
#pragma once

#include <stdexcept>

#include "mm/offline.hpp"
#include "scenario/hot_remove.hpp"
#include "tests/negative/small_world.hpp"

namespace shootdown::scenario {

using model::ModelMachine;

/// "harm cause", or "safe", or "bound".
inline std::string verdict(const model::Found& found) {
  if (found.violation) return std::string(name(found.harm())) + " " + found.cause;
  return found.safe() ? "safe" : "bound";
}

/// The experiment of `c` with another procedure in the remover's place. The regime, a template argument of
/// procedures, must be the experiment's.
template <vmsa::Regime R>
model::Setup with_remover(const HotRemoveConfig& c, model::Task remover) {
  if (!(model_regime(c) == R)) throw std::logic_error("the procedure is for another regime");
  model::Setup setup = set_up(c);
  setup.tasks[0] = std::move(remover);
  return setup;
}

/// remove_linear_map() and what is around it, as strategy B has it, over a flush of the test's own.
template <vmsa::Regime R, typename Flush>
void remove_with(ModelMachine& m, const Arrangement& a, Flush flush) {
  machine::Scope scope(m, "remove_with");
  const vmsa::VirtRange linear = a.map.linear(a.range);
  m.lock(machine::Lock::memory_hotplug);
  mm::unmap_hotplug<R>(m, linear, {mm::LeafFlush::whole_range, /*free_mapped=*/false});
  flush(m, linear);
  mm::free_empty_tables<R>(
      m, linear,
      {mm::table_bounds(mm::TableRule::floor_ceiling, a.map.layout.linear), mm::TableFree::after_flush});
  m.memblock_remove(a.range);
  m.release_range(a.range);
  m.unlock(machine::Lock::memory_hotplug);
}

/// The barriers of flush_tlb_kernel_range() around operations of the test's own.
template <typename Issue>
void flush_by(ModelMachine& m, Issue issue) {
  machine::Scope scope(m, "flush_by");
  m.dsb(machine::Dsb::ishst);
  issue(m);
  mm::complete_kernel_tlbi(m);
}

}  // namespace shootdown::scenario
