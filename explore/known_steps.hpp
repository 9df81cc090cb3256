// SPDX-License-Identifier: MIT
// The steps out of one environment, worked out once for each state of each agent: what the other agents are about to do
// does not matter to them. States are expanded environment by environment, so one at a time is at hand; the earlier
// ones are kept aside.
#pragma once

#include <span>
#include <vector>

#include "explore/kept_steps.hpp"
#include "explore/state_store.hpp"

namespace shootdown::explore {

class KnownSteps {
 public:
  using Step = model::System::Step;
  using Steps = model::System::Steps;

  explicit KnownSteps(model::System& system, model::Judge judge)
      : system_(system), judge_(judge), known_(Choice::environment + 1) {}

  /// The steps of an agent, or of `Choice::environment`. Valid until the next call.
  std::span<const Step> of(unsigned agent, const model::System::State& s) {
    if (s.env != env_) enter(s.env);
    const model::System::Local local = agent == Choice::environment ? 0 : s.locals[agent];
    auto& known = known_[agent];
    if (known.size() <= local) known.resize(local + local / 2 + 1);
    Known& k = known[local];
    if (k.visit != visit_) {
      const auto first = static_cast<std::uint32_t>(steps_.size());
      if (agent == Choice::environment)
        system_.env_steps(s.env, judge_, steps_);
      else
        system_.agent_steps(s.env, agent, local, judge_, steps_);
      k = {visit_, first, static_cast<std::uint32_t>(steps_.size()) - first};
      who_.push_back({agent, local, k.count});
    }
    return {steps_.data() + k.first, k.count};
  }

  std::size_t bytes() const {
    std::size_t n = steps_.capacity() * sizeof(Step) + kept_.bytes();
    for (const auto& known : known_) n += known.capacity() * sizeof(Known);
    return n;
  }

 private:
  struct Known {
    std::uint32_t visit = 0;  ///< of which environment this is known; earlier ones are forgotten
    std::uint32_t first = 0;
    std::uint32_t count = 0;
  };

  void enter(model::Env env) {
    if (who_.size() > recalled_) kept_.keep(env_, who_, steps_);
    env_ = env;
    ++visit_;
    steps_.clear();
    who_.clear();
    kept_.recall(env, who_, steps_);
    recalled_ = who_.size();
    std::uint32_t first = 0;
    for (const StepsOf w : who_) {
      known_[w.agent][w.local] = {visit_, first, w.count};
      first += w.count;
    }
  }

  model::System& system_;
  model::Judge judge_;
  model::Env env_ = ~model::Env{0};
  std::uint32_t visit_ = 0;
  std::vector<std::vector<Known>> known_;  ///< by agent and local state
  Steps steps_;
  std::vector<StepsOf> who_;  ///< whose `steps_` are, in their order
  std::size_t recalled_ = 0;  ///< of `who_`: these are kept already
  KeptSteps kept_;
};

}  // namespace shootdown::explore
