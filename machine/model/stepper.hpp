// SPDX-License-Identifier: MIT
// What each operation does to a World: the semantics of the model, one function an operation. Interning and
// the order of exploration are elsewhere (system.cpp, explore/).
#pragma once

#include <optional>
#include <vector>

#include "machine/model/system.hpp"

namespace shootdown::model {

class Stepper {
 public:
  /// `event`, when given, is filled in with what happened.
  Stepper(const Setup& setup, World& world, Event* event = nullptr)
      : setup_(setup), w_(world), event_(event) {}

  /// The answers that the operation may get now; none while it has to wait.
  std::vector<std::uint64_t> answers(unsigned cpu, const Operation& op) const;

  /// Performs the operation with one of its answers.
  std::optional<Violation> perform(unsigned cpu, const Operation& op, std::uint64_t answer);

  /// No other CPU and no walker can tell whether this operation has happened yet, and it does not depend on
  /// them: it commutes with all that they may do.
  bool is_private(unsigned cpu, const Operation& op) const;

  /// Stores that may become visible next: indices into the CPU's buffer, the oldest to each slot.
  std::vector<unsigned> drainable(unsigned cpu) const;
  std::optional<Violation> drain(unsigned cpu, unsigned index);

  /// Words that hardware may set an access flag in while it walks through stale table entries.
  struct FlagUpdate {
    PhysAddr slot;
    shadow::Entry through;
    shadow::CpuSet holders;
  };
  std::vector<FlagUpdate> flag_updates() const;
  std::optional<Violation> update_flag(const FlagUpdate& update);

 private:
  using Answers = std::vector<std::uint64_t>;
  using Verdict = std::optional<Violation>;

  // The answers that each operation may get now.
  Answers answers_to(unsigned cpu, const op::ReadOnce& o) const;
  Answers answers_to(unsigned cpu, const op::Cmpxchg& o) const;
  Answers answers_to(unsigned cpu, const op::Load& o) const;
  Answers answers_to(unsigned cpu, const op::Store& o) const;
  Answers answers_to(unsigned cpu, const op::AllocPages& o) const;
  Answers answers_to(unsigned cpu, const op::TakeDeferred& o) const;
  Answers answers_to(unsigned cpu, const op::PfnValid& o) const;
  Answers answers_to(unsigned cpu, const op::TakeLock& o) const;
  Answers answers_to(unsigned cpu, const op::TakeLockShared& o) const;
  Answers answers_to(unsigned cpu, const op::Choose& o) const;
  Answers answers_to(unsigned cpu, const op::TakeReleased& o) const;
  Answers answers_to(unsigned, const op::Done&) const { return {}; }
  template <typename Op>
  requires std::is_void_v<typename Op::Answer> Answers answers_to(unsigned, const Op&)
  const { return {0}; }

  // What each operation does.
  Verdict act(unsigned cpu, const op::ReadOnce& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::WriteOnce& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::Cmpxchg& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::Dsb& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::Isb& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::Tlbi& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::Load& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::Store& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::AllocPages& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::ClearPage& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::FreePages& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::DeferFree& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::TakeDeferred& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::ReleaseRange& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::MemblockAdd& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::MemblockRemove& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::PfnValid& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::TakeLock& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::DropLock& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::TakeLockShared& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::DropLockShared& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::CondResched& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::Warn& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::Choose& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::TakeReleased& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::DataStore& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::UnexpectedFault& o, std::uint64_t answer);
  Verdict act(unsigned cpu, const op::Done& o, std::uint64_t answer);

  Answers translated(unsigned cpu, VirtAddr va) const;
  LockState& lock(machine::Lock l) { return w_.locks[static_cast<std::size_t>(l)]; }
  const LockState& lock(machine::Lock l) const { return w_.locks[static_cast<std::size_t>(l)]; }
  std::optional<Violation> drain_all(unsigned cpu);
  std::optional<Violation> store_visible(unsigned cpu, PhysAddr slot, Descriptor now);
  void note_unsynchronised(unsigned cpu, PhysAddr slot, Descriptor before, Descriptor now);
  std::optional<shadow::Finding> exposed_garbage(const shadow::Place& place, PhysAddr slot,
                                                 Descriptor now) const;
  std::optional<Violation> walker_access(unsigned cpu, PhysAddr slot, bool writes) const;
  std::optional<Violation> release(unsigned cpu, PhysRange range, PageState to);
  std::optional<Violation> still_linked(unsigned cpu, PhysAddr page) const;
  /// Tells the event which entries an operation took from somebody.
  template <typename Act>
  void recording_drops(Act&& act);
  const Page* free_page(unsigned order) const;
  unsigned page_shift() const { return w_.shadow.regime().page_shift; }

  const Setup& setup_;
  World& w_;
  Event* event_;
};

}  // namespace shootdown::model
