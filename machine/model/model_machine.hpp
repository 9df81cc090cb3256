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
#include "machine/model/op.hpp"

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
class ModelMachine {
 public:
  using Location = std::source_location;

  ModelMachine(unsigned cpu, unsigned cpu_count, const machine::Features& features, PhysAddr root,
               const Mutation* mutation, std::span<const std::uint64_t> log)
      : cpu_(cpu), cpu_count_(cpu_count), features_(features), root_(root), mutation_(mutation), log_(log) {}

  unsigned cpu() const { return cpu_; }
  unsigned cpu_count() const { return cpu_count_; }
  const machine::Features& features() const { return features_; }
  PhysAddr kernel_root() const { return root_; }

  Descriptor read_once(PhysAddr slot, Location at = Location::current());
  void write_once(PhysAddr slot, Descriptor d, Location at = Location::current());
  Descriptor cmpxchg(PhysAddr slot, Descriptor expected, Descriptor desired,
                     Location at = Location::current());
  void dsb(machine::Dsb kind, Location at = Location::current());
  void isb(Location at = Location::current());
  void tlbi(const vmsa::Tlbi& t, Location at = Location::current());
  machine::Access load(VirtAddr va, Location at = Location::current());
  machine::Access store(VirtAddr va, std::uint64_t value, Location at = Location::current());
  PhysAddr alloc_pages(machine::PageUse use, unsigned order, Location at = Location::current());
  void clear_page(PhysAddr page, Location at = Location::current());
  void free_pages(PhysAddr page, machine::PageUse use, unsigned order, Location at = Location::current());
  void defer_free(PhysAddr page, machine::PageUse use, unsigned order, Location at = Location::current());
  machine::Exemplar::Deferred take_deferred(Location at = Location::current());
  void release_range(PhysRange range, Location at = Location::current());
  void memblock_add(PhysRange range, Location at = Location::current());
  void memblock_remove(PhysRange range, Location at = Location::current());
  bool pfn_valid(PhysAddr pa, Location at = Location::current());
  void lock(machine::Lock l, Location at = Location::current());
  void unlock(machine::Lock l, Location at = Location::current());
  void lock_shared(machine::Lock l, Location at = Location::current());
  void unlock_shared(machine::Lock l, Location at = Location::current());
  void cond_resched();
  void warn(const char* what, Location at = Location::current());
  void enter(const char* function);
  void leave(const std::uint64_t* words, std::size_t count);

  // For scenarios, not for mm/: what surrounds a procedure.

  /// Any number below `count`: the explorer tries all.
  std::uint64_t choose(std::uint64_t count, Location at = Location::current());
  /// Takes over any page that was released, waiting until there is one.
  PhysAddr take_released(Location at = Location::current());
  /// A plain store by the owner of a page.
  void data_store(PhysAddr pa, std::uint64_t value, Location at = Location::current());
  /// From here on the function that is running depends on these values alone, whatever it has been answered: a
  /// loop with an accumulator has fewer states. A value left out makes the exploration unsound; Procedure::audit
  /// finds that.
  void live(std::initializer_list<std::uint64_t> values, Location at = Location::current());
  /// An access that had to succeed did not.
  void unexpected_fault(VirtAddr va, Location at = Location::current());

  const Op& pending() const { return pending_; }
  const Site& site() const { return site_; }
  const History& history() const { return history_; }
  /// Sites of operations in the order met, for the mutation campaign; only when asked for.
  struct Visit {
    Site site;
    Op op;
  };
  void collect(std::vector<Visit>* visits) { visits_ = visits; }

 private:
  void lock_op(OpKind kind, machine::Lock l, Location at);
  std::uint64_t ask(const Op& op, Location at);
  void tell(const Op& op, Location at);
  void tell_unmutated(const Op& op, Location at);
  std::uint64_t next(const Op& op, Location at);

  unsigned cpu_;
  unsigned cpu_count_;
  machine::Features features_;
  PhysAddr root_;
  const Mutation* mutation_;
  std::span<const std::uint64_t> log_;
  std::size_t position_ = 0;
  bool suspended_ = false;
  Op pending_;
  Site site_;
  History history_;
  std::vector<Visit>* visits_ = nullptr;
};

static_assert(machine::Machine<ModelMachine>);

}  // namespace shootdown::model
