// SPDX-License-Identifier: MIT
#include "machine/model/stepper.hpp"

#include <numeric>

namespace shootdown::model {

using shadow::CpuSet;
using shadow::Finding;
using shadow::Harm;

namespace {

constexpr std::uint8_t bit(Level level) {
  return static_cast<std::uint8_t>(1u << static_cast<unsigned>(level));
}

}  // namespace

Violation plain(Harm harm, unsigned cpu, PhysAddr page, const char* text) {
  Finding f;
  f.harm = harm;
  f.holders = CpuSet::one(cpu);
  f.page = page;
  return {f, cpu, text};
}

Stepper::Stepper(const Setup& setup, World& world, Event* event, const Lookahead* ahead,
                 std::vector<PhysAddr>* looked_at)
    : setup_(setup), w_(world), event_(event), ahead_(ahead), looked_at_(looked_at) {
  w_.shadow.set_hardware(
      {.access_flag = setup.features.hardware_access_flag, .repeat_tlbi = setup.features.repeat_tlbi});
  w_.shadow.set_issued(setup.issued.empty() ? nullptr : &setup.issued);
  w_.shadow.set_kernel_root(setup.root);
}

Stepper::Outcomes Stepper::outcomes(unsigned cpu, const Operation& op) const {
  return std::visit([&](const auto& o) { return ways(cpu, o); }, op);
}

Stepper::Verdict Stepper::perform(unsigned cpu, const Operation& op, Outcome way) {
  return std::visit([&](const auto& o) { return act(cpu, o, way); }, op);
}

// ---- locks --------------------------------------------------------------------------------------------------

// Taking a lock is an acquire, dropping it a release that is still to become visible: no barrier stands in either.
Stepper::Outcomes Stepper::ways(unsigned, const op::TakeLock& o) const {
  const LockState& l = lock(o.lock);
  return l.exclusive == 0 && l.shared == 0 ? Outcomes{{}} : Outcomes{};
}
Stepper::Outcomes Stepper::ways(unsigned, const op::TakeLockShared& o) const {
  return lock(o.lock).exclusive == 0 ? Outcomes{{}} : Outcomes{};
}
Stepper::Verdict Stepper::act(unsigned cpu, const op::TakeLock& o, Outcome) {
  order_reads(cpu);
  lock(o.lock).exclusive = static_cast<std::uint8_t>(cpu + 1);
  return std::nullopt;
}
Stepper::Verdict Stepper::act(unsigned cpu, const op::TakeLockShared& o, Outcome) {
  order_reads(cpu);
  LockState& l = lock(o.lock);
  l.shared = static_cast<std::uint8_t>(l.shared | 1u << cpu);
  return std::nullopt;
}
Stepper::Verdict Stepper::act(unsigned cpu, const op::DropLock& o, Outcome) {
  if (lock(o.lock).exclusive != cpu + 1)
    return plain(Harm::warning, cpu, {}, "drops a lock that it does not hold");
  return release_marker(cpu,
                        {.kind = Buffered::Kind::drop_lock, .number = static_cast<std::uint8_t>(o.lock)});
}
Stepper::Verdict Stepper::act(unsigned cpu, const op::DropLockShared& o, Outcome) {
  if ((lock(o.lock).shared >> cpu & 1) == 0)
    return plain(Harm::warning, cpu, {}, "drops a lock that it does not hold");
  return release_marker(
      cpu, {.kind = Buffered::Kind::drop_lock_shared, .number = static_cast<std::uint8_t>(o.lock)});
}

// ---- interrupts ---------------------------------------------------------------------------------------------

Stepper::Outcomes Stepper::ways(unsigned cpu, const op::SetMask&) const { return {{w_.cpus[cpu].mask}}; }

Stepper::Verdict Stepper::act(unsigned cpu, const op::SetMask& o, Outcome) {
  Cpu& c = cpu_at(cpu);
  const bool opens = c.mask != 0 && o.mask == Mask::none;
  c.mask = static_cast<std::uint8_t>(o.mask);
  if (opens) release_marker(cpu, {.kind = Buffered::Kind::end_section, .number = mask_section});
  return std::nullopt;
}

Stepper::Verdict Stepper::act(unsigned, const op::SendSgi& o, Outcome) {
  for (unsigned cpu = 0; cpu < w_.cpu_count(); ++cpu)
    if (o.to.contains(cpu)) cpu_at(cpu).pending |= bit(o.level);
  return std::nullopt;
}

bool Stepper::may_interrupt(unsigned cpu, Level level) const {
  const Cpu& c = w_.cpus[cpu];
  const bool masked = c.mask >= static_cast<unsigned>(level);  // Mask::interrupts is one below Level::nmi
  return (c.pending & bit(level)) != 0 && c.active < bit(level) && !masked;
}

// Exception entry and return synchronise the context. What is read behind the entry is read after the interrupt was
// sent, and so after what the sender's DSB has made visible.
void Stepper::enter_interrupt(unsigned cpu, Level level) {
  Cpu& c = cpu_at(cpu);
  c.pending = static_cast<std::uint8_t>(c.pending & ~bit(level));
  c.active |= bit(level);
  order_reads(cpu);
  context_synchronisation(cpu);
}
void Stepper::leave_interrupt(unsigned cpu, Level level) {
  Cpu& c = cpu_at(cpu);
  c.active = static_cast<std::uint8_t>(c.active & ~bit(level));
  context_synchronisation(cpu);
  if (c.active == 0) release_marker(cpu, {.kind = Buffered::Kind::end_section, .number = interrupt_section});
}

// ---- the rest -----------------------------------------------------------------------------------------------

Stepper::Outcomes Stepper::ways(unsigned, const op::Choose& o) const {
  Outcomes all(o.count);
  for (std::uint64_t i = 0; i < o.count; ++i) all[i].answer = i;
  return all;
}
Stepper::Verdict Stepper::act(unsigned, const op::Choose&, Outcome) { return std::nullopt; }
Stepper::Verdict Stepper::act(unsigned, const op::CondResched&, Outcome) { return std::nullopt; }
Stepper::Verdict Stepper::act(unsigned, const op::Done&, Outcome) { return std::nullopt; }
Stepper::Verdict Stepper::act(unsigned cpu, const op::Warn& o, Outcome) {
  return plain(Harm::warning, cpu, {}, o.what);
}
Stepper::Verdict Stepper::act(unsigned cpu, const op::UnexpectedFault& o, Outcome) {
  Violation v = plain(Harm::unexpected_fault, cpu);
  v.finding.va = o.va;
  return v;
}

}  // namespace shootdown::model
