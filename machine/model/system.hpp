// SPDX-License-Identifier: MIT
// The model as a transition system: a few CPUs running procedures over one World. It answers what can happen
// next; which of it is looked at, and in which order, is the explorer's business (explore/).
//
// A step is one operation of one CPU with one of its answers, the draining of one buffered store, or a hardware
// update of an access flag during a walk. Operations that no other CPU can notice are joined to the step before.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "machine/model/codec.hpp"
#include "machine/model/procedure.hpp"
#include "machine/model/world.hpp"
#include "shadow/finding.hpp"

namespace shootdown::model {

using Env = std::uint32_t;  ///< an interned World

/// What a run is made of.
struct Setup {
  World world;  ///< at the start
  PhysAddr root;
  machine::Features features;
  std::vector<Task> tasks;           ///< one a CPU
  std::optional<Mutation> mutation;  ///< of CPU 0's procedure
  bool allocation_may_fail = false;
  bool join_private_steps = true;  ///< off: every operation is a step of its own
  /// Judges a state in which every procedure has returned and every store has drained.
  std::function<std::optional<shadow::Finding>(const World&)> final_check;
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
  enum class Kind : std::uint8_t { operation, drain, hardware_access_flag };
  Kind kind = Kind::operation;
  unsigned cpu = 0;
  Operation op;
  Site site;
  std::uint64_t answer = 0;
  /// A store that became visible to every walker, and what it replaced.
  struct Visible {
    PhysAddr slot;
    Descriptor before;
    Descriptor after;
  };
  /// The operation, when it was one of this kind.
  template <typename Op>
  const Op* operation() const {
    return kind == Kind::operation ? std::get_if<Op>(&op) : nullptr;
  }
  std::vector<Visible> stores;
  std::vector<std::pair<shadow::Entry, shadow::Outcome>> invalidated;  ///< by a TLBI
  std::vector<shadow::Entry> dropped;  ///< as they were before a DSB or ISB took holders from them
  std::vector<PhysAddr> synchronised;  ///< slots made valid before, whose use an ISB made safe for its CPU
  std::optional<Violation> violation;
};

/// The events of one step, the step's own and those joined to it.
using Events = std::vector<Event>;

class System {
 public:
  explicit System(Setup setup);
  System(const System&) = delete;  // procedures point into the setup
  System& operator=(const System&) = delete;

  using Local = Procedure::Local;

  /// The environment and one state a CPU: everything there is.
  struct State {
    Env env = 0;
    std::array<Local, max_cpus> locals{};
    friend bool operator==(const State&, const State&) = default;
  };
  /// Where a step leads. For a step of the environment `local` means nothing.
  struct Step {
    Env env;
    Local local : 31;
    Local violates : 1;
  };
  using Steps = std::vector<Step>;

  unsigned cpu_count() const { return static_cast<unsigned>(procedures_.size()); }
  State initial();

  /// Every step that happens by itself: a buffered store becomes visible, hardware sets an access flag.
  void env_steps(Env env, Judge judge, Steps& out);
  /// Every step of one CPU; none while it waits, or when it is done.
  void cpu_steps(Env env, unsigned cpu, Local local, Judge judge, Steps& out);

  /// The same again, with everything that happened, for the `choice`-th step.
  Events explain_env_step(Env env, Judge judge, std::size_t choice);
  Events explain_cpu_step(Env env, unsigned cpu, Local local, Judge judge, std::size_t choice);

  /// Judges a state without steps: finished (by the setup's final check), or stuck.
  std::optional<Violation> judge_end(const State& state);

  bool is_done(unsigned cpu, Local local) const { return is<op::Done>(procedures_[cpu].pending(local)); }
  const World& world(Env env);
  Procedure& procedure(unsigned cpu) { return procedures_[cpu]; }
  const Setup& setup() const { return setup_; }
  std::size_t env_count() const { return envs_.size(); }
  std::size_t bytes() const;

 private:
  /// Calls `sink(Step, Events&&)` for each step; events are empty unless `explain`.
  template <typename Sink>
  void each_env_step(Env env, Judge judge, bool explain, Sink&& sink);
  template <typename Sink>
  void each_cpu_step(Env env, unsigned cpu, Local local, Judge judge, bool explain, Sink&& sink);

  /// Interns `world_` as it is now.
  Env keep();
  Env intern_env();
  /// The identifiers of an environment's parts.
  std::array<std::uint32_t, parts.size()> parts_of(Env env) const;

  Setup setup_;
  std::vector<Procedure> procedures_;
  std::array<Interner, parts.size()> interners_;
  Interner envs_;
  Env start_ = 0;
  /// One world that follows the search: going to another environment decodes the parts that differ.
  World world_;
  Env at_env_ = 0;                                ///< which environment `world_` is
  std::array<std::uint32_t, parts.size()> at_{};  ///< and its parts
  Words scratch_;
};

}  // namespace shootdown::model
