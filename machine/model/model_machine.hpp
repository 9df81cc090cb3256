// SPDX-License-Identifier: MIT
// The Machine that a procedure sees under the model. It answers operations from a log of earlier responses; at
// the first one that has no answer yet it notes the operation and unwinds the procedure.
// What an operation does is machine/model/system.cpp; nothing here knows.
#pragma once

#include <exception>
#include <initializer_list>
#include <source_location>
#include <span>
#include <vector>

#include "machine/model/mutation.hpp"
#include "machine/model/operation.hpp"

namespace shootdown::model {

/// Thrown through a procedure to suspend it; caught by Procedure alone.
struct Suspended {};

/// The identity of a suspended procedure: for each function still open, what it has been answered so far. A
/// function that has returned is its result and nothing else; operations and calls without one only count.
class History {
 public:
  void enter(const char* function) { frames_.push_back({function, {}}); }
  void leave(std::span<const std::uint64_t> result) {
    frames_.pop_back();
    if (result.empty()) return nothing();
    for (std::uint64_t word : result) item(tag_result, word);
  }
  void nothing() {
    auto& items = frames_.back().items;
    if (items.size() >= 2 && items[items.size() - 2] == tag_nothing)
      ++items.back();
    else
      item(tag_nothing, 1);
  }
  void answer(std::uint64_t response) { item(tag_answer, response); }
  void live(std::span<const std::uint64_t> values, unsigned line) {
    frames_.back().items.clear();
    item(tag_live, line);
    for (std::uint64_t value : values) item(tag_live, value);
  }

  /// All open frames, each with its length, outermost first.
  std::vector<std::uint64_t> words() const;
  std::vector<const char*> functions() const;

 private:
  enum Tag : std::uint64_t { tag_nothing, tag_answer, tag_result, tag_live };
  struct Frame {
    const char* function;
    std::vector<std::uint64_t> items;
  };
  void item(Tag tag, std::uint64_t value) {
    frames_.back().items.push_back(tag);
    frames_.back().items.push_back(value);
  }
  std::vector<Frame> frames_{{nullptr, {}}};
};

/// One run of a procedure over a log.
///
/// Operations are out of line on purpose: procedures are instantiated for dozens of regimes, and this is their
/// machine code.
class ModelMachine : public machine::Calls<ModelMachine, std::source_location> {
 public:
  using Location = std::source_location;

  ModelMachine(unsigned cpu, unsigned cpu_count, const machine::Features& features, PhysAddr root,
               const Mutation* mutation, std::span<const std::uint64_t> log)
      : cpu_(cpu), cpu_count_(cpu_count), features_(features), root_(root), mutation_(mutation), log_(log) {}

  unsigned cpu() const { return cpu_; }
  unsigned cpu_count() const { return cpu_count_; }
  const machine::Features& features() const { return features_; }
  PhysAddr kernel_root() const { return root_; }

  /// Any operation: the answer of the log, or the end of this run.
  template <typename Op>
  typename Op::Answer perform(const Op& op, Location at = Location::current()) {
    if constexpr (std::is_void_v<typename Op::Answer>)
      tell(op, at);
    else
      return from_word<typename Op::Answer>(ask(op, at));
  }
  /// A range that no SCALE and NUM say (R_QKRKL) cannot be issued: what took it would call safe what cannot run.
  void perform(const machine::op::Tlbi& op, Location at = Location::current()) {
    if (op.tlbi.op.range && !vmsa::range_fields(op.tlbi.pages))
      perform(op::Warn{"a range TLBI of so many pages has no encoding"}, at);
    tell(op, at);
  }
  /// A model has no scheduler: every moment is such a point.
  void perform(const machine::op::CondResched&, Location = Location::current()) {}

  void enter(const char* function);
  void leave(const std::uint64_t* words, std::size_t count);
  /// A result that is not recorded makes different states look alike: this stops the program.
  void left_without_result(const char* function) const;

  // For scenarios, not for mm/: what surrounds a procedure.

  std::uint64_t choose(std::uint64_t count, Location at = Location::current()) {
    return perform(op::Choose{count}, at);
  }
  PhysAddr take_released(Location at = Location::current()) { return perform(op::TakeReleased{}, at); }
  void data_store(PhysAddr pa, std::uint64_t value, Location at = Location::current()) {
    perform(op::DataStore{pa, value}, at);
  }
  std::uint64_t await_word(PhysAddr pa, std::uint64_t mask, std::uint64_t value,
                           Location at = Location::current()) {
    return perform(op::AwaitWord{pa, mask, value}, at);
  }
  machine::Access fetch(VirtAddr va, bool user = false, Location at = Location::current()) {
    return perform(op::Fetch{va, user}, at);
  }
  void write_ttbr0(PhysAddr root, std::uint16_t asid, Location at = Location::current()) {
    perform(op::WriteTtbr0{root, asid}, at);
  }
  void retire_asid(PhysAddr root, std::uint16_t asid, Location at = Location::current()) {
    perform(op::RetireAsid{root, asid}, at);
  }
  Mask set_mask(Mask mask, Location at = Location::current()) { return perform(op::SetMask{mask}, at); }
  void send_sgi(shadow::CpuSet to, Level level = Level::interrupt, Location at = Location::current()) {
    perform(op::SendSgi{to, level}, at);
  }
  void rcu_read_lock(Location at = Location::current()) { perform(op::BeginSection{}, at); }
  void rcu_read_unlock(Location at = Location::current()) { perform(op::EndSection{}, at); }
  void synchronize_rcu(Location at = Location::current()) {
    perform(op::BeginGrace{}, at);
    perform(op::AwaitGrace{}, at);
  }
  void call_rcu(PhysAddr page, machine::PageUse use, unsigned order, Location at = Location::current()) {
    perform(op::FreeAfterGrace{page, use, order}, at);
  }
  void rely(PhysAddr root, std::uint16_t asid, vmsa::VirtRange range, vmsa::AccessKind nobody,
            Location at = Location::current()) {
    perform(op::Rely{root, asid, range, nobody, false}, at);
  }
  void rely_on_flag(PhysAddr root, std::uint16_t asid, vmsa::VirtRange range, vmsa::AccessKind nobody,
                    Location at = Location::current()) {
    perform(op::Rely{root, asid, range, nobody, true}, at);
  }
  void unexpected_fault(VirtAddr va, Location at = Location::current()) {
    perform(op::UnexpectedFault{va}, at);
  }
  /// From here on the function that is running depends on these values alone, whatever it has been answered: a
  /// loop with an accumulator has fewer states. A value left out makes the exploration unsound; Procedure::audit
  /// finds that.
  void live(std::initializer_list<std::uint64_t> values, Location at = Location::current());

  const Operation& pending() const { return pending_; }
  const Site& site() const { return site_; }
  const History& history() const { return history_; }
  /// Sites of operations in the order met, for the mutation campaign; only when asked for.
  struct Visit {
    Site site;
    Operation op;
  };
  void collect(std::vector<Visit>* visits) { visits_ = visits; }

 private:
  std::uint64_t ask(const Operation& op, Location at);
  void tell(const Operation& op, Location at);
  void tell_unmutated(const Operation& op, Location at);
  std::uint64_t next(const Operation& op, Location at);

  unsigned cpu_;
  unsigned cpu_count_;
  machine::Features features_;
  PhysAddr root_;
  const Mutation* mutation_;
  std::span<const std::uint64_t> log_;
  std::size_t position_ = 0;
  bool suspended_ = false;
  Operation pending_;
  Site site_;
  History history_;
  std::vector<Visit>* visits_ = nullptr;
};

static_assert(machine::Machine<ModelMachine>);

}  // namespace shootdown::model
