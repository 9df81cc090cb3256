// SPDX-License-Identifier: MIT
// Breadth-first search over a model: every state, or the shortest way to a violation, or the bound that stopped
// it. What a state or a step is, is the model's business.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <vector>

#include "explore/state_store.hpp"

namespace shootdown::explore {

/// What a search may use; the search says which one it hit.
struct Bounds {
  std::uint64_t states = 50'000'000;
  std::uint64_t bytes = std::uint64_t{6} << 30;
};

struct Progress {
  std::uint64_t states;
  std::uint64_t transitions;
  std::uint64_t frontier;
  unsigned depth;
  double seconds;
};

struct SearchOptions {
  Bounds bounds;
  model::Judge judge = model::Judge::everything;
  std::function<void(const Progress&)> progress;  ///< called every 65536 states that were expanded
  const std::atomic<bool>* stop = nullptr;        ///< set by a signal handler
};

enum class Ending : std::uint8_t {
  exhausted,  ///< every reachable state was visited
  violation,  ///< the shortest path to one
  states_bound,
  memory_bound,
  interrupted,
};

struct SearchResult {
  Ending ending = Ending::exhausted;
  std::vector<Choice> path;                 ///< to the violation
  bool at_end = false;                      ///< the violation is that of a state without steps
  std::optional<model::Violation> endless;  ///< or of a run that never ends: the path leads to where it stays
  std::uint64_t states = 0;
  std::uint64_t transitions = 0;
  std::uint64_t end_states = 0;  ///< finished runs
  unsigned depth = 0;
  double seconds = 0;
  std::size_t bytes = 0;
};

/// Searches from `from`. `at_end`, when given, sees afterwards every state in which all procedures have finished.
SearchResult search(model::System& system, const model::System::State& from, const SearchOptions& options,
                    const std::function<void(const model::System::State&)>& at_end = {});

/// One step of a path, explained.
struct TimelineStep {
  Choice choice;
  model::Events events;
  model::System::State after;
};

/// Follows a path. Stops early, with fewer steps, when a choice does not exist.
std::vector<TimelineStep> follow(model::System& system, const model::System::State& from,
                                 const std::vector<Choice>& path, model::Judge judge);

}  // namespace shootdown::explore
