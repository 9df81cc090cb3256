// SPDX-License-Identifier: MIT
// The rare operations of the timed machine: phases, batches of invalidations, memblock, translated accesses.
#include "machine/timed/timed_machine.hpp"

#include <algorithm>

namespace shootdown::timed {

TimedMachine::TimedMachine(const Config& config)
    : config_(config),
      arena_(config.table_capacity, config.regime.page_shift),
      pages_(config.regime.page_shift) {
  root_ = arena_.allocate();
  arena_.clear(root_);
}

void TimedMachine::start_window() {
  settle();
  assert(flush_ == Flush::idle && outer_phases_.empty());
  ledger_ = Ledger{};
  now_ = &ledger_.phases[phase_.index()];
}

void TimedMachine::push(Step step) {
  if (flush_ != Flush::idle) settle();
  outer_phases_.push_back(phase_);
  if (step.region != Region::none) phase_.region = step.region;
  if (step.pass != Pass::none) phase_.pass = step.pass;
  now_ = &ledger_.phases[phase_.index()];
}

void TimedMachine::pop() {
  if (flush_ != Flush::idle) settle();
  phase_ = outer_phases_.back();
  outer_phases_.pop_back();
  now_ = &ledger_.phases[phase_.index()];
}

void TimedMachine::settle() {
  if (flush_ == Flush::idle || flush_ == Flush::batch) return;
  const Flush reached = std::exchange(flush_, Flush::idle);
  ++now_->dsb[static_cast<std::size_t>(Dsb::ishst)];
  if (reached == Flush::ordered) return;
  const bool leaf = reached == Flush::leaf || reached == Flush::leaf_complete;
  tlbi_alone(leaf ? vmsa::vaale1is : vmsa::vaae1is, VirtAddr{}, 1);
  if (reached == Flush::leaf_complete || reached == Flush::table_complete) dsb_alone(Dsb::ish);
}

void TimedMachine::dsb_alone(Dsb kind) {
  settle();
  ++now_->dsb[static_cast<std::size_t>(kind)];
  if (kind != Dsb::ish || flush_ != Flush::batch) return;
  ledger_.add_batch(phase_.index(), std::exchange(pending_, {}));
  flush_ = Flush::idle;
}

void TimedMachine::isb_alone() {
  settle();
  count(Event::isb);
}

void TimedMachine::tlbi_alone(vmsa::TlbiOp op, VirtAddr va, std::uint64_t pages) {
  settle();
  ++now_->tlbi[tlbi_position(op)];
  if (!op.broadcast) return;
  // Only the repeat of the erratum names address 0 of one ASID in the kernel's own sequences.
  if (op == vmsa::vale1is && va == VirtAddr{} && pending_.operations() == 0) pending_.repeat = true;
  if (!op.by_va())
    ++pending_.alls;
  else if (op.range)
    ++pending_.ranges, pending_.range_pages += pages;
  else
    ++pending_.singles;
  flush_ = Flush::batch;
}

void TimedMachine::perform(const op::MemblockRemove& o, Anywhere) {
  // Whole blocks out of one region: what stays is a piece before and a piece after.
  std::vector<PhysRange> kept;
  for (const PhysRange& r : memory_) {
    if (!r.overlaps(o.range)) {
      kept.push_back(r);
      continue;
    }
    if (r.start < o.range.start) kept.push_back({r.start, o.range.start});
    if (o.range.end < r.end) kept.push_back({o.range.end, r.end});
  }
  memory_ = std::move(kept);
}

bool TimedMachine::perform(const op::PfnValid& o, Anywhere) {
  return std::any_of(memory_.begin(), memory_.end(), [&](const PhysRange& r) { return r.contains(o.pa); });
}

Access TimedMachine::perform(const op::Load& o, Anywhere) {
  const vmsa::Regime& r = config_.regime;
  PhysAddr table = root_;
  for (vmsa::Level level = r.root_level(); level <= vmsa::page_level; level = level.next()) {
    count(Event::walk_step);
    const Descriptor d{*arena_.word(vmsa::slot_address(r, table, level, o.va))};
    if (d.is_leaf(level)) return {};  // pages have no contents here
    if (!d.is_table(level)) break;
    table = vmsa::output_address(r, level, d);
  }
  return {.faulted = 1};
}

Access TimedMachine::perform(const op::Store& o, Anywhere) { return load(o.va); }

}  // namespace shootdown::timed
