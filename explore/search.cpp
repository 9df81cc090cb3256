// SPDX-License-Identifier: MIT
#include "explore/search.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <numeric>
#include <span>
#include <stdexcept>

#include "explore/cycles.hpp"
#include "explore/known_steps.hpp"

namespace shootdown::explore {
namespace {

using model::Env;
using model::System;
using Clock = std::chrono::steady_clock;

/// A state of the level that is being expanded.
struct Place {
  Env env;
  StateStore::Index state;
};

/// Sorts by environment, keeping the order of the states of each: radix sort, for environments are numbers without
/// large gaps.
void sort_by_env(std::vector<Place>& places, std::vector<Place>& spare) {
  constexpr unsigned bits = 11;
  const auto [low, high] = std::ranges::minmax(places, {}, &Place::env);
  spare.resize(places.size());
  for (unsigned shift = 0; shift < 32 && (high.env - low.env) >> shift != 0; shift += bits) {
    std::array<std::size_t, (1u << bits) + 1> first{};
    auto digit = [&](const Place& p) { return (p.env - low.env) >> shift & ((1u << bits) - 1); };
    for (const Place& p : places) ++first[digit(p) + 1];
    std::partial_sum(first.begin(), first.end(), first.begin());
    for (const Place& p : places) spare[first[digit(p)]++] = p;
    places.swap(spare);
  }
}

class Search {
 public:
  using AtEnd = std::function<void(const System::State&)>;

  Search(System& system, const System::State& from, const SearchOptions& options)
      : system_(system), options_(options), store_(system.agent_count()), steps_(system, options.judge) {
    if (options.judge == model::Judge::everything) store_.keep_graph();
    store_.insert(from);
  }

  SearchResult run() {
    for (StateStore::Index begin = 0, end = 1; begin < end && !finished_; begin = end, end = store_.end()) {
      if (begin != 0) ++result_.depth;
      expand_level(begin, end);
      store_.settle();
    }
    if (!finished_ && options_.judge == model::Judge::everything) judge_endless();
    result_.states = store_.size();
    result_.seconds = seconds();
    result_.bytes = store_.bytes() + system_.bytes() + steps_.bytes();
    return std::move(result_);
  }

  /// Every state in which a run has ended.
  void tell_ends(const AtEnd& at_end) const {
    if (!at_end) return;
    for (const StateStore::Index i : ends_) at_end(store_[i]);
  }

 private:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  void finish(Ending ending) {
    result_.ending = ending;
    finished_ = true;
  }

  void check_bounds() {
    if (store_.size() > options_.bounds.states) finish(Ending::states_bound);
    if (system_.outdated()) finish(Ending::interrupted);
    if ((++expanded_ & 0x3ff) != 0) return;
    if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed))
      finish(Ending::interrupted);
    if (store_.bytes() + system_.bytes() > options_.bounds.bytes) finish(Ending::memory_bound);
    if ((expanded_ & 0xffff) == 0 && options_.progress)
      options_.progress(
          {store_.size(), result_.transitions, store_.size() - expanded_, result_.depth, seconds()});
  }

  void violation_at(StateStore::Index i) {
    for (; i != 0; i = store_.parent(i)) result_.path.insert(result_.path.begin(), store_.choice(i));
    finish(Ending::violation);
  }

  /// All states at one distance from the start, those of one environment together: what was worked out for one is
  /// then at hand for the next.
  void expand_level(StateStore::Index begin, StateStore::Index end) {
    order_.clear();
    for (StateStore::Index i = begin; i < end; ++i) order_.push_back({store_.env(i), i});
    sort_by_env(order_, spare_);
    for (std::size_t n = 0; n < order_.size() && !finished_; ++n) {
      check_bounds();
      if (n + 8 < order_.size()) store_.prefetch(order_[n + 8].state);
      if (!finished_) expand(order_[n].state);
    }
  }

  /// False when the search has ended.
  bool take(StateStore::Index from, unsigned agent, std::span<const System::Step> steps) {
    if (steps.size() > Choice::max_ordinal + 1) throw std::length_error("a state has too many successors");
    for (std::size_t ordinal = 0; ordinal < steps.size(); ++ordinal) {
      const System::Step& step = steps[ordinal];
      ++result_.transitions;
      if (step.violates) {
        violation_at(from);
        result_.path.emplace_back(agent, ordinal);
        return false;
      }
      store_.reach(from, {agent, ordinal}, step);
    }
    return true;
  }

  void expand(StateStore::Index i) {
    const System::State s = store_[i];
    const std::uint64_t before = result_.transitions;
    for (unsigned agent = 0; agent < system_.agent_count(); ++agent)
      if (!take(i, agent, steps_.of(agent, s))) return;
    if (!take(i, Choice::environment, steps_.of(Choice::environment, s))) return;
    if (result_.transitions != before) return;
    ++result_.end_states;
    ends_.push_back(i);
    if (options_.judge == model::Judge::everything && system_.judge_end(s)) {
      violation_at(i);
      result_.at_end = true;
    }
  }

  /// Every state has been expanded: may a run go on for ever?
  void judge_endless() {
    const auto found = find_endless(store_.graph(), store_.end(), [&](StateStore::Index i, unsigned agent) {
      return system_.is_served(store_[i], agent);
    });
    if (!found) return;
    const StateStore::Index first = found->states.front();
    result_.endless = system_.judge_endless(store_[first], found->move, found->could);
    violation_at(first);
  }

  System& system_;
  const SearchOptions& options_;
  std::vector<Place> order_;
  std::vector<Place> spare_;
  std::vector<StateStore::Index> ends_;
  std::uint64_t expanded_ = 0;
  StateStore store_;
  KnownSteps steps_;
  SearchResult result_;
  bool finished_ = false;
  Clock::time_point start_ = Clock::now();
};

}  // namespace

SearchResult search(System& system, const System::State& from, const SearchOptions& options,
                    const std::function<void(const System::State&)>& at_end) {
  // What it learns about its CPUs on the way may make it begin again, from the start: a few levels at most.
  const bool from_start = from == system.initial();
  for (double seconds = 0;;) {
    Search search(system, from_start ? system.initial() : from, options);
    SearchResult result = search.run();
    const bool again =
        system.outdated() || (result.ending == Ending::exhausted && system.needs_another_pass());
    seconds += result.seconds;
    result.seconds = seconds;  // of all passes
    if (!from_start || !again) {
      search.tell_ends(at_end);
      return result;
    }
    system.begin_again();
  }
}

std::vector<TimelineStep> follow(System& system, const System::State& from, const std::vector<Choice>& path,
                                 model::Judge judge) {
  std::vector<TimelineStep> timeline;
  System::State s = from;
  for (const Choice c : path) {
    const bool env = c.agent() == Choice::environment;
    if (!env && c.agent() >= system.agent_count()) return timeline;
    System::Steps steps;
    if (env)
      system.env_steps(s.env, judge, steps);
    else
      system.agent_steps(s.env, c.agent(), s.locals[c.agent()], judge, steps);
    if (c.ordinal() >= steps.size()) return timeline;
    auto events = env ? system.explain_env_step(s.env, judge, c.ordinal())
                      : system.explain_agent_step(s.env, c.agent(), s.locals[c.agent()], judge, c.ordinal());
    s.env = steps[c.ordinal()].env;
    if (!env) s.locals[c.agent()] = steps[c.ordinal()].local;
    timeline.push_back({c, std::move(events), s});
  }
  return timeline;
}

}  // namespace shootdown::explore
