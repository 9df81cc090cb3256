// SPDX-License-Identifier: MIT
// A profile's prices on the call sites that an audit counted.
#pragma once

#include "machine/timed/prices.hpp"
#include "report/site_costs.hpp"

namespace shootdown::scenario {

/// Fills in the times and sorts, the dearest first. An audit says how often a place issued each operation and not which
/// DSB completed which TLBI. A place that has both completes as many as the rarer of the two; a DSB ISH elsewhere
/// completes what places without one left open, while there is any (the DSB of a context switch is a barrier alone).
void price_sites(report::SiteCosts& costs, const timed::Profile& profile, timed::MachineSetup on);

}  // namespace shootdown::scenario
