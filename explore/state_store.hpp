// SPDX-License-Identifier: MIT
// All states found so far, in the order they were found: 16 bytes a state, 6 for the way back, and an index.
// Exact: states are compared, not their hashes. The queue of a breadth-first search is a position in it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <vector>

#include "explore/chunks.hpp"
#include "explore/graph.hpp"
#include "machine/model/system.hpp"

namespace shootdown::explore {

/// One step out of a state: who made it, and which of that one's possible steps.
struct Choice {
  static constexpr unsigned environment = 7;
  static_assert(model::max_agents <= environment);
  static constexpr std::size_t max_ordinal = 0x1fff;
  std::uint16_t bits = 0;

  constexpr Choice() = default;
  constexpr Choice(unsigned agent, std::size_t ordinal)
      : bits(static_cast<std::uint16_t>(agent << 13 | ordinal)) {}
  constexpr unsigned agent() const { return bits >> 13; }  ///< of the system, or `environment`
  constexpr std::size_t ordinal() const { return bits & max_ordinal; }
  friend constexpr bool operator==(Choice, Choice) = default;
};

class StateStore {
 public:
  using State = model::System::State;
  using Local = model::System::Local;
  using Index = std::uint32_t;

  explicit StateStore(unsigned agent_count) : anchors_(agent_count), locals_(agent_count) {}

  std::size_t size() const { return states_.size(); }
  State operator[](Index i) const;
  Index parent(Index i) const { return parents_[i]; }
  Choice choice(Index i) const { return choices_[i]; }
  model::Env env(Index i) const { return states_[i].env; }
  Index end() const { return static_cast<Index>(states_.size()); }
  void prefetch(Index i) const { __builtin_prefetch(&states_[i]); }

  /// Adds the first state of all.
  void insert(const State& s);
  /// A step has led from one state to another: to this environment, and to this state of the agent that made it.
  /// Successors join the store in the order in which they were reached, a little later: memory answers in the
  /// meantime. Throws std::length_error when the packing is full.
  void reach(Index from, Choice by, const model::System::Step& step) {
    if (reached_count_ == reached_.size()) settle();
    Reached& r = reached_[reached_count_++];
    const bool env = by.agent() == Choice::environment;
    r = {states_[from],   from, by, env ? Mover::environment(step.local) : Mover::agent(by.agent()),
         step.early != 0, 0};
    r.state.env = step.env;
    if (!env) r.state.locals[by.agent()] = anchor(by.agent(), step.local);
    r.hash = hash(r.state);
    __builtin_prefetch(&slots_[r.hash & mask()]);
  }
  /// Every state that was reached is in the store.
  void settle();
  /// Where every step led that was settled; only when it is asked for, before the first.
  void keep_graph() { graph_.emplace(); }
  const Graph& graph() const { return *graph_; }
  std::size_t bytes() const;

 private:
  struct Packed {
    std::uint32_t env;
    std::array<std::uint16_t, model::max_agents> locals;
    friend bool operator==(const Packed&, const Packed&) = default;
  };
  static_assert(sizeof(Packed) == 16);
  struct Reached {
    Packed state;
    Index from;
    Choice by;
    Mover mover;
    bool early;
    std::uint64_t hash;
  };

  static std::uint64_t hash(const Packed& p);
  std::uint16_t anchor(unsigned agent, Local local) {
    const auto& known = anchors_[agent];
    if (local < known.size() && known[local] != 0) return static_cast<std::uint16_t>(known[local] - 1);
    return new_anchor(agent, local);
  }
  std::uint16_t new_anchor(unsigned agent, Local local);
  Index insert(const Reached& r);
  void grow();

  /// A slot is a position + 1 in as many low bits as there are slots, and bits of the hash above: most states
  /// that are not the one looked for are told by those.
  std::uint32_t mask() const { return static_cast<std::uint32_t>(slots_.size() - 1); }
  std::uint32_t tag(std::uint64_t hash) const { return static_cast<std::uint32_t>(hash >> 32) & ~mask(); }

  Chunks<Packed> states_;
  Chunks<Index> parents_;
  Chunks<Choice> choices_;
  std::vector<std::uint32_t> slots_ = std::vector<std::uint32_t>(1024, 0);
  std::optional<Graph> graph_;
  std::array<Reached, 128> reached_;
  std::size_t reached_count_ = 0;
  /// States of one procedure that the search stops at are few among all: they get small numbers.
  std::vector<std::vector<std::uint32_t>> anchors_;  ///< local -> anchor + 1
  std::vector<std::vector<Local>> locals_;           ///< anchor -> local
};

}  // namespace shootdown::explore
