// SPDX-License-Identifier: MIT
// The timed machine: machine::Machine with the real number of descriptors, kept in real memory, and a ledger of
// what was done. It has no clock of its own: prices.hpp and system.hpp make time out of the ledger.
#pragma once

#include <array>
#include <cassert>
#include <memory>
#include <utility>
#include <vector>

#include "machine/machine.hpp"
#include "machine/timed/arena.hpp"
#include "machine/timed/ledger.hpp"
#include "machine/timed/pages.hpp"

namespace shootdown::timed {

namespace op = machine::op;
using machine::Anywhere;

using machine::Access;
using machine::Descriptor;
using machine::Dsb;
using machine::PageUse;
using vmsa::PhysAddr;
using vmsa::PhysRange;
using vmsa::VirtAddr;

/// What a scope of a procedure says about where we are; most say nothing.
struct Step {
  Region region = Region::none;
  Pass pass = Pass::none;
};

/// The functions of mm/ that begin a part whose time is told apart. For a literal the builtin folds, where
/// std::string_view would compare at run time, twice a descriptor.
[[gnu::always_inline]] inline bool same(const char* a, const char* b) { return __builtin_strcmp(a, b) == 0; }
[[gnu::always_inline]] inline Step step_of(const char* function) {
  if (same(function, "vmemmap_free") || same(function, "vmemmap_flush_and_free"))
    return {Region::vmemmap, Pass::none};
  if (same(function, "remove_linear_map")) return {Region::linear, Pass::none};
  if (same(function, "unmap_hotplug_range")) return {Region::none, Pass::unmap};
  if (same(function, "free_empty_tables")) return {Region::none, Pass::tables};
  return {};
}
[[gnu::always_inline]] inline bool is_step(const char* function) {
  const Step step = step_of(function);
  return step.region != Region::none || step.pass != Pass::none;
}

/// Told at each point where the scheduler may run something else, with the ledger so far.
class RescheduleObserver {
 public:
  virtual ~RescheduleObserver() = default;
  virtual void rescheduled(const Ledger& ledger) = 0;
};

/// One CPU's view. Everything is inline: the procedures are compiled together with it, and a descriptor of a
/// terabyte machine costs a few host instructions.
class TimedMachine : public machine::Calls<TimedMachine> {
 public:
  struct Config {
    vmsa::Regime regime;
    unsigned cpus = 1;
    machine::Features features;
    Bytes table_capacity;
    bool large_pages = true;  ///< false: every allocation of more than one page fails
  };

  explicit TimedMachine(const Config& config);

  unsigned cpu() const { return 0; }
  unsigned cpu_count() const { return config_.cpus; }
  const machine::Features& features() const { return config_.features; }
  PhysAddr kernel_root() const { return root_; }

  [[gnu::always_inline]] Descriptor perform(const op::ReadOnce& o, Anywhere) {
    touch(o.slot);
    count(Event::descriptor_read);
    return Descriptor{*arena_.word(o.slot)};
  }
  [[gnu::always_inline]] void perform(const op::WriteOnce& o, Anywhere) {
    touch(o.slot);
    count(o.value.none() ? Event::descriptor_clear : Event::descriptor_set);
    *arena_.word(o.slot) = o.value.bits;
  }
  Descriptor perform(const op::Cmpxchg& o, Anywhere) { return machine::in_two_steps(*this, o); }
  Descriptor perform(const op::FetchUpdate& o, Anywhere) { return machine::in_two_steps(*this, o); }
  void perform(const op::Dmb&, Anywhere) {
  }  // no more than a few cycles of its own CPU: nothing that a profile knows

  // A flush of one address, from the first barrier to the last, is one count: each operation moves `flush_` on
  // by one step, and inlined in a row they fold into a single increment. Whatever breaks the row is settled.
  [[gnu::always_inline]] void perform(const op::Dsb& o, Anywhere) {
    if (o.kind == Dsb::ishst && flush_ == Flush::idle) {
      flush_ = Flush::ordered;
    } else if (o.kind == Dsb::ish && flush_ == Flush::leaf) {
      flush_ = Flush::leaf_complete;
    } else if (o.kind == Dsb::ish && flush_ == Flush::table) {
      flush_ = Flush::table_complete;
    } else {
      dsb_alone(o.kind);
    }
  }
  [[gnu::always_inline]] void perform(const op::Isb&, Anywhere) {
    if (flush_ == Flush::leaf_complete)
      count(Event::flush_leaf);
    else if (flush_ == Flush::table_complete)
      count(Event::flush_table);
    else
      return isb_alone();
    flush_ = Flush::idle;
  }
  [[gnu::always_inline]] void perform(const op::Tlbi& o, Anywhere) {
    if (flush_ == Flush::ordered) {
      if (o.tlbi.op == vmsa::vaale1is) return void(flush_ = Flush::leaf);
      if (o.tlbi.op == vmsa::vaae1is) return void(flush_ = Flush::table);
    }
    tlbi_alone(o.tlbi.op, o.tlbi.va, o.tlbi.pages);  // by value: the operand never has to exist in memory
  }

  Access perform(const op::Load&, Anywhere);
  Access perform(const op::Store&, Anywhere);

  PhysAddr perform(const op::AllocPages& o, Anywhere) {
    if (o.use != PageUse::table) {
      if (o.order > 0 && !config_.large_pages) return {};
      count(Event::page_alloc);
      return pages_.allocate(o.order);
    }
    assert(o.order == 0);
    count(Event::table_alloc);
    return arena_.allocate();
  }
  void perform(const op::ClearPage& o, Anywhere) {
    count(Event::page_clear);
    if (!pages_.owns(o.page)) arena_.clear(o.page);
  }
  void perform(const op::FreePages& o, Anywhere) {
    if (o.use != PageUse::table) {
      count(Event::page_free);
      return pages_.release(o.page, o.order);
    }
    count(Event::table_free);
    arena_.release(o.page);
  }
  void perform(const op::DeferFree& o, Anywhere) {
    count(Event::page_defer);
    deferred_.push({o.page, o.use, o.order});
  }
  machine::Deferred perform(const op::TakeDeferred&, Anywhere) { return deferred_.pop(); }
  void perform(const op::ReleaseRange&, Anywhere) {}

  void perform(const op::MemblockAdd& o, Anywhere) { memory_.push_back(o.range); }
  void perform(const op::MemblockRemove&, Anywhere);
  bool perform(const op::PfnValid&, Anywhere);

  void perform(const op::TakeLock&, Anywhere) { count(Event::lock); }
  void perform(const op::DropLock&, Anywhere) {}
  void perform(const op::TakeLockShared&, Anywhere) { count(Event::lock); }
  void perform(const op::DropLockShared&, Anywhere) {}
  void perform(const op::CondResched&, Anywhere) {
    count(Event::reschedule);
    if (observer_ != nullptr) observer_->rescheduled(ledger());
  }
  void perform(const op::Warn& o, Anywhere) { warnings_.emplace_back(o.what); }

  [[gnu::always_inline]] void enter(const char* function) {
    if (is_step(function)) push(step_of(function));
  }
  [[gnu::always_inline]] void leave(const char* function) {
    if (is_step(function)) pop();
  }

  /// What was done since the window began.
  const Ledger& ledger() {
    settle();
    return ledger_;
  }
  /// Counts from zero from here on: the window begins.
  void start_window();
  void observe(RescheduleObserver* observer) { observer_ = observer; }
  const std::vector<const char*>& warnings() const { return warnings_; }
  std::uint64_t tables_in_use() const { return arena_.tables_in_use(); }
  Bytes host_bytes() const { return arena_.host_bytes() + deferred_.host_bytes() + pages_.host_bytes(); }

  /// Position in `vmsa::tlbi_ops`, without a search.
  static constexpr std::size_t tlbi_position(vmsa::TlbiOp op) {
    const std::size_t form = !op.by_va() ? (op.target == vmsa::TlbiTarget::all ? 0 : 1)
                                         : 2 + 4 * std::size_t{op.range} + 2 * std::size_t{op.last_level} +
                                               (op.target == vmsa::TlbiTarget::va_all ? 1 : 0);
    return 10 * std::size_t{op.broadcast} + form;
  }

 private:
  [[gnu::always_inline]] void count(Event e) { ++(*now_)[e]; }

  /// The memory system works by cache lines: only the first access to one is told apart.
  [[gnu::always_inline]] void touch(PhysAddr slot) {
    const auto line = static_cast<std::uint32_t>(slot.value >> 6);
    if (line != last_line_) [[unlikely]]
      new_line(line);
  }
  [[gnu::always_inline]] void new_line(std::uint32_t line) {
    last_line_ = line;
    std::uint32_t& tag = l2_tags_[line % l2_lines];
    if (tag == line) return count(Event::line_near);
    count(Event::line_far);
    tag = line;
  }

  void dsb_alone(Dsb kind);
  void isb_alone();
  void tlbi_alone(vmsa::TlbiOp op, VirtAddr va, std::uint64_t pages);
  /// Counts the operations of a flush that was begun and will not be one of the common sequences.
  void settle();

  void push(Step step);
  void pop();

  /// How far the common flush sequence has come; or that other operations are outstanding, in `pending_`.
  enum class Flush : std::uint8_t { idle, ordered, leaf, table, leaf_complete, table_complete, batch };
  static constexpr std::size_t l2_lines = 16384;  // 1 MiB, as on a Neoverse-N1; direct-mapped

  Config config_;
  Arena arena_;
  PhysAddr root_;
  Ledger ledger_;
  Tally* now_ = &ledger_.phases[0];
  std::uint32_t last_line_ = ~0u;
  Flush flush_ = Flush::idle;
  Phase phase_;
  Batch pending_;  // issued, not complete: Flush::batch
  std::vector<std::uint32_t> l2_tags_ = std::vector<std::uint32_t>(l2_lines, ~0u);
  std::vector<Phase> outer_phases_;
  PagePool pages_;
  DeferredList deferred_;
  std::vector<PhysRange> memory_;  // memblock
  std::vector<const char*> warnings_;
  RescheduleObserver* observer_ = nullptr;
};

static_assert(machine::Machine<TimedMachine>);
static_assert([] {
  for (std::size_t i = 0; i < vmsa::tlbi_ops.size(); ++i)
    if (TimedMachine::tlbi_position(vmsa::tlbi_ops[i]) != i) return false;
  return true;
}());

}  // namespace shootdown::timed
