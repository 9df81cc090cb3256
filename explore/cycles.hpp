// SPDX-License-Identifier: MIT
// Runs that never end. A cycle of the graph is a harm when it may be gone round for ever: when nobody in it is kept from
// a step for ever that he could make all the time.
#pragma once

#include <functional>
#include <optional>

#include "explore/graph.hpp"

namespace shootdown::explore {

bool has_cycle(const Graph& graph, Graph::Index state_count);

/// States among which a run may stay for ever.
struct Endless {
  std::vector<Graph::Index> states;  ///< ascending, so that the one found first comes first
  std::uint32_t move = 0;            ///< movers with a step among them: bits
  std::uint32_t could = 0;           ///< movers with any step in one of them
};

/// The one that is reached first. What is assumed of a run that goes on for ever:
/// - Who could make a step all the time makes one: procedures, buffers, ends of grace periods. Hardware need never set a
///   flag, and may use a stale translation for ever.
/// - Who is `served(state, agent)` in a state that comes again and again, makes a step: locks are handed out in turn,
///   interrupts are taken.
/// - A read does not return for ever what its word no longer is.
std::optional<Endless> find_endless(const Graph& graph, Graph::Index state_count,
                                    const std::function<bool(Graph::Index, unsigned agent)>& served);

}  // namespace shootdown::explore
