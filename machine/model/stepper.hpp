// SPDX-License-Identifier: MIT
// What each operation does to a World: the semantics of the model. One overload an operation, no default: a new
// operation does not compile until something is said of it here. Interning and the order of exploration are elsewhere
// (system.cpp, explore/). By theme: memory_steps.cpp, translation_steps.cpp, page_steps.cpp; the rest is stepper.cpp.
#pragma once

#include <optional>
#include <vector>

#include "machine/model/lookahead.hpp"
#include "machine/model/setup.hpp"

namespace shootdown::model {

/// One way an operation may go: what the procedure is answered, and which of the effects behind that answer.
struct Outcome {
  std::uint64_t answer = 0;
  std::uint8_t effect = 0;
};

class Stepper {
 public:
  using Outcomes = std::vector<Outcome>;
  using Verdict = std::optional<Violation>;

  /// `event`, when given, is filled in with what happened. `ahead` says which words are worth remembering what they
  /// were; `looked_at`, when given, gets the words that were read.
  Stepper(const Setup& setup, World& world, Event* event = nullptr, const Lookahead* ahead = nullptr,
          std::vector<PhysAddr>* looked_at = nullptr);

  /// The ways that the operation may go now; none while it has to wait.
  Outcomes outcomes(unsigned cpu, const Operation& op) const;
  /// Performs the operation in one of its ways.
  Verdict perform(unsigned cpu, const Operation& op, Outcome way);

  /// Has what was performed read what a word no longer is?
  bool has_read_early() const { return read_early_; }

  // What happens by itself.

  /// What may become visible next: positions in the CPU's buffer.
  std::vector<unsigned> drainable(unsigned cpu) const;
  Verdict drain(unsigned cpu, unsigned index);

  /// Words that hardware may set an access flag in: leaves of live tables, and whatever looks like one where it walks
  /// through stale table entries.
  struct FlagUpdate {
    PhysAddr slot;
    std::optional<shadow::Entry> through;  ///< the stale entry; nothing in a live table
    shadow::CpuSet walkers;
  };
  std::vector<FlagUpdate> flag_updates() const;
  Verdict update_flag(const FlagUpdate& update);

  /// Pages whose grace period has ended: positions in World::callbacks.
  std::vector<unsigned> ended_graces() const;
  Verdict run_callback(unsigned index);

  /// The slot for whose sake an access of `cpu` may still fault, though it has mapped the address itself: its walker need
  /// not see the store yet, or it lacks an ISB. 0 when there is none.
  PhysAddr unpublished_slot(unsigned cpu, VirtAddr va) const;

  // Interrupts, for whoever knows which handlers there are.

  bool may_interrupt(unsigned cpu, Level level) const;
  void enter_interrupt(unsigned cpu, Level level);
  void leave_interrupt(unsigned cpu, Level level);

 private:
  // Ways that each operation may go. One without an answer that never waits goes one way.
  Outcomes ways(unsigned cpu, const op::ReadOnce& o) const;
  Outcomes ways(unsigned cpu, const op::Cmpxchg& o) const;
  Outcomes ways(unsigned cpu, const op::FetchUpdate& o) const;
  Outcomes ways(unsigned cpu, const op::AwaitWord& o) const;
  Outcomes ways(unsigned cpu, const op::Dmb& o) const;
  Outcomes ways(unsigned cpu, const op::Dsb& o) const;
  Outcomes ways(unsigned cpu, const op::Load& o) const;
  Outcomes ways(unsigned cpu, const op::Store& o) const;
  Outcomes ways(unsigned cpu, const op::Fetch& o) const;
  Outcomes ways(unsigned cpu, const op::AllocPages& o) const;
  Outcomes ways(unsigned cpu, const op::TakeDeferred& o) const;
  Outcomes ways(unsigned cpu, const op::PfnValid& o) const;
  Outcomes ways(unsigned cpu, const op::TakeLock& o) const;
  Outcomes ways(unsigned cpu, const op::TakeLockShared& o) const;
  Outcomes ways(unsigned cpu, const op::Choose& o) const;
  Outcomes ways(unsigned cpu, const op::TakeReleased& o) const;
  Outcomes ways(unsigned cpu, const op::SetMask& o) const;
  Outcomes ways(unsigned cpu, const op::BeginGrace& o) const;
  Outcomes ways(unsigned cpu, const op::AwaitGrace& o) const;
  Outcomes ways(unsigned, const op::Done&) const { return {}; }
  template <typename Op>
  requires std::is_void_v<typename Op::Answer> Outcomes ways(unsigned, const Op&)
  const { return {{}}; }

  // What each operation does.
  Verdict act(unsigned cpu, const op::ReadOnce& o, Outcome way);
  Verdict act(unsigned cpu, const op::WriteOnce& o, Outcome way);
  Verdict act(unsigned cpu, const op::Cmpxchg& o, Outcome way);
  Verdict act(unsigned cpu, const op::FetchUpdate& o, Outcome way);
  Verdict act(unsigned cpu, const op::AwaitWord& o, Outcome way);
  Verdict act(unsigned cpu, const op::Dmb& o, Outcome way);
  Verdict act(unsigned cpu, const op::Dsb& o, Outcome way);
  Verdict act(unsigned cpu, const op::Isb& o, Outcome way);
  Verdict act(unsigned cpu, const op::Tlbi& o, Outcome way);
  Verdict act(unsigned cpu, const op::Load& o, Outcome way);
  Verdict act(unsigned cpu, const op::Store& o, Outcome way);
  Verdict act(unsigned cpu, const op::Fetch& o, Outcome way);
  Verdict act(unsigned cpu, const op::WriteTtbr0& o, Outcome way);
  Verdict act(unsigned cpu, const op::RetireAsid& o, Outcome way);
  Verdict act(unsigned cpu, const op::Rely& o, Outcome way);
  Verdict act(unsigned cpu, const op::AllocPages& o, Outcome way);
  Verdict act(unsigned cpu, const op::ClearPage& o, Outcome way);
  Verdict act(unsigned cpu, const op::FreePages& o, Outcome way);
  Verdict act(unsigned cpu, const op::DeferFree& o, Outcome way);
  Verdict act(unsigned cpu, const op::TakeDeferred& o, Outcome way);
  Verdict act(unsigned cpu, const op::ReleaseRange& o, Outcome way);
  Verdict act(unsigned cpu, const op::TakeReleased& o, Outcome way);
  Verdict act(unsigned cpu, const op::DataStore& o, Outcome way);
  Verdict act(unsigned cpu, const op::MemblockAdd& o, Outcome way);
  Verdict act(unsigned cpu, const op::MemblockRemove& o, Outcome way);
  Verdict act(unsigned cpu, const op::PfnValid& o, Outcome way);
  Verdict act(unsigned cpu, const op::TakeLock& o, Outcome way);
  Verdict act(unsigned cpu, const op::DropLock& o, Outcome way);
  Verdict act(unsigned cpu, const op::TakeLockShared& o, Outcome way);
  Verdict act(unsigned cpu, const op::DropLockShared& o, Outcome way);
  Verdict act(unsigned cpu, const op::SetMask& o, Outcome way);
  Verdict act(unsigned cpu, const op::SendSgi& o, Outcome way);
  Verdict act(unsigned cpu, const op::BeginSection& o, Outcome way);
  Verdict act(unsigned cpu, const op::EndSection& o, Outcome way);
  Verdict act(unsigned cpu, const op::BeginGrace& o, Outcome way);
  Verdict act(unsigned cpu, const op::AwaitGrace& o, Outcome way);
  Verdict act(unsigned cpu, const op::FreeAfterGrace& o, Outcome way);
  Verdict act(unsigned cpu, const op::CondResched& o, Outcome way);
  Verdict act(unsigned cpu, const op::Warn& o, Outcome way);
  Verdict act(unsigned cpu, const op::Choose& o, Outcome way);
  Verdict act(unsigned cpu, const op::UnexpectedFault& o, Outcome way);
  Verdict act(unsigned cpu, const op::Done& o, Outcome way);

  // memory_steps.cpp
  struct Readable {
    std::uint64_t value;
    int early;  ///< position in Cpu::early, or one of the two below
    static constexpr int memory = -1, own_store = -2;
  };
  std::vector<Readable> readable(unsigned cpu, PhysAddr pa) const;
  void has_read(unsigned cpu, PhysAddr pa, const Readable& what, machine::Order order);
  void order_reads(unsigned cpu) { cpu_at(cpu).early.clear(); }
  void buffer_store(unsigned cpu, PhysAddr slot, std::uint64_t value, bool releases, PhysAddr through = {});
  void buffer(unsigned cpu, Buffered b) { cpu_at(cpu).buffer.push_back(b); }
  /// Something that waits for all that is older: at once when there is nothing. Others may act on it later all the same,
  /// so no run is lost.
  Verdict release_marker(unsigned cpu, Buffered b) {
    const bool at_once = all_visible(cpu);
    buffer(cpu, b);
    return at_once ? drain(cpu, 0) : std::nullopt;
  }
  bool all_visible(unsigned cpu) const { return w_.cpus[cpu].buffer.empty(); }
  Verdict access_word(unsigned cpu, PhysAddr slot, machine::Word word);
  Verdict store_visible(unsigned cpu, PhysAddr slot, Descriptor now, const Buffered* by);
  Verdict atomic_store(unsigned cpu, PhysAddr slot, Descriptor now);
  Verdict lost_flags(unsigned cpu, PhysAddr slot, Descriptor before, Descriptor now, bool saw);
  void remember_early(unsigned writer, PhysAddr slot, std::uint64_t before, Descriptor now);
  void note_unsynchronised(unsigned cpu, PhysAddr slot, Descriptor before, Descriptor now,
                           const Buffered* by);
  std::optional<shadow::Finding> exposed_garbage(const shadow::Place& place, PhysAddr slot,
                                                 Descriptor now) const;

  // translation_steps.cpp
  struct Way {
    Outcome outcome;
    shadow::Reach reach;
    Readable value{};
  };
  std::vector<Way> translations(unsigned cpu, VirtAddr va, vmsa::AccessKind kind) const;
  Outcomes access_ways(unsigned cpu, VirtAddr va, vmsa::AccessKind kind) const;
  Verdict access(unsigned cpu, VirtAddr va, vmsa::AccessKind kind, Outcome way, std::uint64_t value);
  std::uint8_t space_of(PhysAddr root, std::uint16_t asid) {
    return root == PhysAddr{} ? 0 : w_.shadow.space_of(root, asid);
  }
  Verdict context_synchronisation(unsigned cpu);
  bool waits_for_stores(unsigned cpu) const;
  template <typename Act>
  void recording_drops(Act&& act);
  Verdict set_flag(const FlagUpdate& update, std::uint64_t set, std::uint64_t clear);

  // page_steps.cpp
  Verdict release(unsigned cpu, PhysRange range, PageState to);
  Verdict still_linked(unsigned cpu, PhysAddr page) const;
  bool in_section(unsigned cpu) const;
  void section_ends(unsigned cpu, std::uint8_t which);
  shadow::CpuSet in_sections() const;
  void begin_grace();

  /// Every place at which a page is linked as a table, in any address space.
  struct Link {
    shadow::TableAt table;
    shadow::Context context;
  };
  std::vector<Link> links_of(PhysAddr page) const;

  Cpu& cpu_at(unsigned cpu) { return w_.cpus[cpu]; }
  LockState& lock(machine::Lock l) { return w_.locks[static_cast<std::size_t>(l)]; }
  const LockState& lock(machine::Lock l) const { return w_.locks[static_cast<std::size_t>(l)]; }
  const vmsa::Regime& regime() const { return w_.shadow.regime(); }
  unsigned page_shift() const { return regime().page_shift; }
  PhysAddr page_of(PhysAddr slot) const { return slot.align_down(regime().page_size()); }

  const Setup& setup_;
  World& w_;
  Event* event_;
  const Lookahead* ahead_;
  std::vector<PhysAddr>* looked_at_;
  bool read_early_ = false;
};

/// A harm that no stale entry has to do with.
Violation plain(shadow::Harm harm, unsigned cpu, PhysAddr page = {}, const char* text = nullptr);

}  // namespace shootdown::model
