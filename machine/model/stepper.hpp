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
  std::vector<std::uint64_t> answers(unsigned cpu, const Op& op) const;

  /// Performs the operation with one of its answers.
  std::optional<Violation> perform(unsigned cpu, const Op& op, std::uint64_t answer);

  /// No other CPU and no walker can tell whether this operation has happened yet, and it does not depend on
  /// them: it commutes with all that they may do.
  bool is_private(unsigned cpu, const Op& op) const;

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
  std::optional<Violation> drain_all(unsigned cpu);
  std::optional<Violation> store_visible(unsigned cpu, PhysAddr slot, Descriptor now);
  void note_unsynchronised(unsigned cpu, PhysAddr slot, Descriptor before, Descriptor now);
  std::optional<shadow::Finding> exposed_garbage(const shadow::Place& place, PhysAddr slot,
                                                 Descriptor now) const;
  std::optional<Violation> walker_access(unsigned cpu, PhysAddr slot, bool writes) const;
  std::optional<Violation> release(unsigned cpu, PhysRange range, PageState to);
  std::optional<Violation> still_linked(unsigned cpu, PhysAddr page) const;
  std::optional<Violation> tlbi(unsigned cpu, const vmsa::Tlbi& t);
  std::optional<Violation> barrier(unsigned cpu, const Op& op);
  std::optional<Violation> clear_page(unsigned cpu, PhysAddr page);
  std::optional<Violation> data_store(unsigned cpu, PhysAddr slot, std::uint64_t value);
  std::optional<Violation> compare_and_swap(unsigned cpu, const Op& op, std::uint64_t answer);
  void unlock(unsigned cpu, const Op& op);
  bool can_lock(const Op& op) const;
  const Page* free_page(unsigned order) const;
  unsigned page_shift() const { return w_.shadow.regime().page_shift; }

  const Setup& setup_;
  World& w_;
  Event* event_;
};

}  // namespace shootdown::model
