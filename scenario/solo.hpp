// SPDX-License-Identifier: MIT
// One agent alone, from a state on: its operations in order, each in its first way, its buffer drained only when it waits
// for that. For questions about a procedure that no interleaving decides.
#pragma once

#include <functional>

#include "machine/model/system.hpp"

namespace shootdown::scenario {

/// Calls `see(event)` for everything that happens until the agent has nothing more to do, or `see` returns false. Returns
/// the agent's last state.
model::System::Local run_alone(model::System& system, model::System::State from, unsigned agent,
                               model::Judge judge, const std::function<bool(const model::Event&)>& see);

}  // namespace shootdown::scenario
