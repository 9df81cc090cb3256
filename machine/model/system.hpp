// SPDX-License-Identifier: MIT
// The model as a transition system: procedures on a few CPUs over one World. It answers what can happen
// next; which of it is looked at, and in which order, is the explorer's business (explore/).
//
// An agent is a procedure on a CPU: its task, or a handler that runs over it. A step is one operation of an agent in one
// of its ways, a handler that begins or returns, or one thing that happens by itself: something buffered becomes visible,
// hardware sets an access flag during a walk, a grace period has ended.
#pragma once

#include "machine/model/codec.hpp"
#include "machine/model/setup.hpp"

namespace shootdown::model {

using Env = std::uint32_t;  ///< an interned World

inline constexpr unsigned max_agents = 6;

class Stepper;

class System {
 public:
  explicit System(Setup setup);
  System(const System&) = delete;  // procedures point into the setup
  System& operator=(const System&) = delete;

  using Local = Procedure::Local;

  /// The environment and one state an agent: everything there is.
  struct State {
    Env env = 0;
    std::array<Local, max_agents> locals{};
    friend bool operator==(const State&, const State&) = default;
  };
  /// Where a step leads. For a step of the environment `local` means nothing.
  struct Step {
    Env env;
    Local local : 31;
    Local violates : 1;
  };
  using Steps = std::vector<Step>;

  /// Tasks first, by CPU, then handlers.
  unsigned agent_count() const { return static_cast<unsigned>(agents_.size()); }
  unsigned cpu_count() const { return static_cast<unsigned>(setup_.tasks.size()); }
  unsigned cpu_of(unsigned agent) const { return agents_[agent].cpu; }
  State initial();

  /// Every step that happens by itself.
  void env_steps(Env env, Judge judge, Steps& out);
  /// Every step of one agent; none while it waits, or has nothing to do.
  void agent_steps(Env env, unsigned agent, Local local, Judge judge, Steps& out);

  /// The same again, with everything that happened, for the `choice`-th step.
  Events explain_env_step(Env env, Judge judge, std::size_t choice);
  Events explain_agent_step(Env env, unsigned agent, Local local, Judge judge, std::size_t choice);

  /// Judges a state without steps: finished (by the setup's final check), or stuck.
  std::optional<Violation> judge_end(const State& state);

  /// True when a CPU did for the first time what its setup did not know it does (Setup::issuers, readers): what was
  /// explored so far lacks state. The setup knows by now; begin again.
  bool outdated() const { return outdated_; }
  void begin_again();
  /// What follows is asked out of its turn, of a CPU that may issue TLBIs which the search has not met.
  void expect_tlbis_of(unsigned cpu) { setup_.issuers = setup_.issuers | shadow::CpuSet::one(cpu); }

  bool is_done(unsigned agent, Local local) const {
    return is<op::Done>(agents_[agent].procedure.pending(local));
  }
  const World& world(Env env);
  Procedure& procedure(unsigned agent) { return agents_[agent].procedure; }
  const Setup& setup() const { return setup_; }
  std::size_t env_count() const { return envs_.size(); }
  std::size_t bytes() const;

 private:
  struct Agent {
    unsigned cpu;
    Level level;
    Procedure procedure;
  };

  /// Calls `sink(Step, Events&&)` for each step; events are empty unless `explain`.
  template <typename Sink>
  void each_env_step(Env env, Judge judge, bool explain, Sink&& sink);
  template <typename Sink>
  void each_agent_step(Env env, unsigned agent, Local local, Judge judge, bool explain, Sink&& sink);
  void learn(unsigned cpu, const Operation& op);
  bool has_handlers(unsigned cpu) const;

  /// Interns `world_` as it is now.
  Env keep();
  Env intern_env();
  using PartIds = std::array<std::uint32_t, parts.size()>;
  PartIds parts_of(Env env) const;

  Setup setup_;
  std::vector<Agent> agents_;
  std::array<Interner, parts.size()> interners_;
  Interner envs_;
  Env start_ = 0;
  bool outdated_ = false;
  /// One world that follows the search: going to another environment decodes the parts that differ.
  World world_;
  Env at_env_ = 0;  ///< which environment `world_` is
  PartIds at_{};    ///< and its parts
  Words scratch_;
};

}  // namespace shootdown::model
