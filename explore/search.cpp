// SPDX-License-Identifier: MIT
#include "explore/search.hpp"

#include <chrono>

namespace shootdown::explore {
namespace {

using model::Env;
using model::System;
using Clock = std::chrono::steady_clock;

/// Steps already worked out. The other CPUs' states do not matter to them, so most lookups hit. Bounded: an
/// entry may be overwritten, and is then worked out again.
class StepCache {
 public:
  struct Slot {
    Env env = ~Env{0};
    std::uint32_t agent = 0;
    System::Local local = 0;
    System::Steps steps;
  };

  Slot& at(Env env, std::uint32_t agent, System::Local local, bool& hit) {
    std::uint64_t h = (std::uint64_t{env} << 32 | local) * 0x9e3779b97f4a7c15u + agent * 0xff51afd7ed558ccdu;
    h ^= h >> 31;
    Slot& slot = slots_[h & (slots_.size() - 1)];
    hit = slot.env == env && slot.agent == agent && slot.local == local;
    if (!hit) {
      slot.env = env;
      slot.agent = agent;
      slot.local = local;
      slot.steps.clear();
    }
    return slot;
  }
  std::size_t bytes() const { return slots_.capacity() * (sizeof(Slot) + 4 * sizeof(System::Step)); }

 private:
  std::vector<Slot> slots_ = std::vector<Slot>(1u << 17);
};

class Search {
 public:
  Search(System& system, const System::State& from, const SearchOptions& options)
      : system_(system), options_(options), store_(system.cpu_count()) {
    store_.insert(from, 0, {});
  }

  SearchResult run(const std::function<void(const System::State&)>& at_end) {
    std::uint64_t level_end = 1;
    for (std::uint64_t i = 0; i < store_.size() && !finished_; ++i) {
      if (i == level_end) {
        ++result_.depth;
        level_end = store_.size();
      }
      if ((i & 0xffff) == 0xffff) check_bounds(i);
      expand(static_cast<StateStore::Index>(i), at_end);
    }
    result_.states = store_.size();
    result_.seconds = seconds();
    result_.bytes = store_.bytes() + system_.bytes() + cache_.bytes();
    return std::move(result_);
  }

 private:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  void finish(Ending ending) {
    result_.ending = ending;
    finished_ = true;
  }

  void check_bounds(std::uint64_t visited) {
    const auto bytes = store_.bytes() + system_.bytes();
    if (options_.progress)
      options_.progress(
          {store_.size(), result_.transitions, store_.size() - visited, result_.depth, seconds()});
    if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed))
      finish(Ending::interrupted);
    if (store_.size() > options_.bounds.states) finish(Ending::states_bound);
    if (bytes > options_.bounds.bytes) finish(Ending::memory_bound);
  }

  void violation_at(StateStore::Index i) {
    for (; i != 0; i = store_.parent(i)) result_.path.insert(result_.path.begin(), store_.choice(i));
    finish(Ending::violation);
  }

  const System::Steps& steps(const System::State& s, unsigned agent) {
    bool hit = false;
    const bool env = agent == Choice::environment;
    auto& slot = cache_.at(s.env, agent, env ? 0 : s.locals[agent], hit);
    if (!hit && env) system_.env_steps(s.env, options_.judge, slot.steps);
    if (!hit && !env) system_.cpu_steps(s.env, agent, s.locals[agent], options_.judge, slot.steps);
    return slot.steps;
  }

  /// False when the search has ended.
  bool take(StateStore::Index from, System::State next, unsigned agent, const System::Steps& steps) {
    for (std::size_t ordinal = 0; ordinal < steps.size(); ++ordinal) {
      const System::Step& step = steps[ordinal];
      ++result_.transitions;
      next.env = step.env;
      if (agent != Choice::environment) next.locals[agent] = step.local;
      if (step.violates) {
        violation_at(from);
        result_.path.emplace_back(agent, ordinal);
        return false;
      }
      store_.insert(next, from, {agent, ordinal});
    }
    return true;
  }

  void expand(StateStore::Index i, const std::function<void(const System::State&)>& at_end) {
    const System::State s = store_[i];
    const std::uint64_t before = result_.transitions;
    for (unsigned cpu = 0; cpu < system_.cpu_count(); ++cpu)
      if (!take(i, s, cpu, steps(s, cpu))) return;
    if (!take(i, s, Choice::environment, steps(s, Choice::environment))) return;
    if (result_.transitions != before) return;
    ++result_.end_states;
    if (at_end) at_end(s);
    if (options_.judge == model::Judge::everything && system_.judge_end(s)) {
      violation_at(i);
      result_.at_end = true;
    }
  }

  System& system_;
  const SearchOptions& options_;
  StateStore store_;
  StepCache cache_;
  SearchResult result_;
  bool finished_ = false;
  Clock::time_point start_ = Clock::now();
};

}  // namespace

SearchResult search(System& system, const System::State& from, const SearchOptions& options,
                    const std::function<void(const System::State&)>& at_end) {
  return Search(system, from, options).run(at_end);
}

std::vector<TimelineStep> follow(System& system, const System::State& from, const std::vector<Choice>& path,
                                 model::Judge judge) {
  std::vector<TimelineStep> timeline;
  System::State s = from;
  for (const Choice c : path) {
    const bool env = c.agent() == Choice::environment;
    if (!env && c.agent() >= system.cpu_count()) return timeline;
    System::Steps steps;
    if (env)
      system.env_steps(s.env, judge, steps);
    else
      system.cpu_steps(s.env, c.agent(), s.locals[c.agent()], judge, steps);
    if (c.ordinal() >= steps.size()) return timeline;
    auto events = env ? system.explain_env_step(s.env, judge, c.ordinal())
                      : system.explain_cpu_step(s.env, c.agent(), s.locals[c.agent()], judge, c.ordinal());
    s.env = steps[c.ordinal()].env;
    if (!env) s.locals[c.agent()] = steps[c.ordinal()].local;
    timeline.push_back({c, std::move(events), s});
  }
  return timeline;
}

}  // namespace shootdown::explore
