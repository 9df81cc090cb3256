// SPDX-License-Identifier: MIT
// What a run of the model is made of, and what it reports: harms and events. Values only.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "machine/model/procedure.hpp"
#include "machine/model/world.hpp"
#include "shadow/finding.hpp"

namespace shootdown::model {

/// A procedure that runs when its CPU is interrupted, each time from its start.
struct Handler {
  unsigned cpu = 0;
  Level level = Level::interrupt;
  Task task;
};

/// What a run is made of.
struct Setup {
  World world;  ///< at the start
  PhysAddr root;
  machine::Features features;
  std::vector<Task> tasks;           ///< one a CPU
  std::vector<Handler> handlers{};   ///< at most one a CPU and level
  std::optional<Mutation> mutation;  ///< of CPU 0's task
  bool allocation_may_fail = false;
  /// An allocation may get any page that was given back. Off: the lowest of them, which says nothing of other orders.
  bool any_page = true;
  /// Reads by software may return what a word was, back to the last point that orders them. Off: in program order.
  bool early_reads = true;
  /// Addresses that stay mapped whoever owns the page behind them: the linear map of all memory.
  std::function<bool(VirtAddr)> mapped_by_design;
  /// Judges a state in which every task has returned and every store is visible.
  std::function<std::optional<shadow::Finding>(const World&)> final_check;

  /// The TLBIs that each CPU issues (Shadow::set_issued); nothing is known while it is empty. A System learns them.
  shadow::Shadow::Issued issued{};
};

/// A harm as the model met it: the shadow's judgement, and who acted.
struct Violation {
  shadow::Finding finding;
  unsigned cpu = 0;            ///< the CPU whose step it was
  const char* text = nullptr;  ///< of a warning
  bool hardware = false;       ///< a hardware walk acted, not a procedure
};

/// Which harms end a path. After a release was found to be premature, the consequence is looked for.
enum class Judge : std::uint8_t {
  everything,
  hardware_update,  ///< only an access flag written into a page that has a new owner
  reuse,            ///< only a released page taken over while it is still reachable
  nothing,          ///< no harm: all states are looked at, to count them
};

/// One thing that happened, for timelines. What its operation means is told by report/.
struct Event {
  enum class Kind : std::uint8_t {
    operation,
    drain,                 ///< something in a CPU's buffer becomes visible
    hardware_access_flag,  ///< by a walk
    interrupt,             ///< a handler begins
    interrupt_return,
    callback,  ///< a grace period has ended
  };
  Kind kind = Kind::operation;
  unsigned cpu = 0;
  Level level = Level::task;
  Operation op;
  Site site;
  std::uint64_t answer = 0;
  /// The operation, when it was one of this kind.
  template <typename Op>
  const Op* operation() const {
    return kind == Kind::operation ? std::get_if<Op>(&op) : nullptr;
  }
  Buffered drained{};  ///< what became visible
  /// A store that became visible to every walker, and what it replaced.
  struct Visible {
    PhysAddr slot;
    Descriptor before;
    Descriptor after;
  };
  std::vector<Visible> stores{};
  std::vector<std::pair<shadow::Entry, shadow::Outcome>> invalidated{};  ///< by a TLBI
  std::vector<shadow::Entry> dropped{};  ///< as they were before a DSB or ISB took holders from them
  std::vector<PhysAddr> synchronised{};  ///< slots made valid before, whose use an ISB made safe for its CPU
  bool read_early = false;               ///< the answer was no longer what the word says
  std::optional<Violation> violation{};
};

/// The events of one step.
using Events = std::vector<Event>;

}  // namespace shootdown::model
