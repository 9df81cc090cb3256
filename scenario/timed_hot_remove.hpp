// SPDX-License-Identifier: MIT
// Hot-remove on the timed machine: builds the mapping, removes it with a strategy, and keeps the ledger of the
// removal. Pricing is apart, because one run serves any number of profiles, CPUs and samples.
#pragma once

#include <optional>
#include <string>

#include "machine/timed/ledger.hpp"
#include "machine/timed/prices.hpp"
#include "mm/strategy.hpp"
#include "report/time.hpp"
#include "vmsa/regime.hpp"

namespace shootdown::scenario {

/// One removal. Everything that decides what is done, nothing that decides how long it takes.
struct HotRemoveSpec {
  vmsa::Regime regime;
  mm::Strategy strategy;
  mm::Mapping mapping;
  timed::Bytes memory;
  bool vmemmap_blocks = true;      ///< false: no 2 MiB block can be had, vmemmap falls back to base pages
  bool blocks_one_by_one = false;  ///< each memory block in a call of its own
  bool range_tlbi = true;
  bool repeat_tlbi = false;  ///< the erratum's workaround is on
};

/// Where the memory goes: behind boot memory, as `boot` places it, so that both share the same upper tables with it
/// and count the same. Of boot memory only the last section is mapped: it is in every table that is shared.
struct Placement {
  std::uint64_t start = 0;  ///< bytes from the start of the linear map; a GiB of boot memory for each 32 GiB
  std::uint64_t neighbour_bytes = 0;
};
Placement place(const vmsa::Regime& regime, timed::Bytes memory);

/// What is wrong with a spec, as one line; nothing when it can run.
std::optional<std::string> problem_of(const HotRemoveSpec& spec);
/// What a run will ask of the host.
timed::Bytes host_bytes_needed(const HotRemoveSpec& spec);

struct HotRemoveRun {
  timed::Ledger removal;           ///< the window: try_remove_memory() alone
  timed::Ledger longest_stretch;   ///< the part of it that is dearest between two reschedule points
  std::uint64_t tables_built = 0;  ///< by hot-add
  std::uint64_t tables_kept = 0;   ///< of these, still there at the end
  std::vector<std::string> warnings;
  double host_seconds = 0;  ///< of one core, for hot-add and hot-remove
  timed::Bytes host_peak;
};

/// Runs it. `prices` only choose the dearest stretch. Throws std::bad_alloc when the host has no memory for it.
HotRemoveRun run_hot_remove(const HotRemoveSpec& spec, const timed::Prices& prices);

/// What a run is priced on.
struct PricedOn {
  const timed::Profile& profile;
  unsigned cpus;
  timed::Load load;
  timed::Sampling sampling;
  unsigned sockets = 0;  ///< 0: as many as that many CPUs fill

  timed::MachineSetup setup() const {
    return {cpus, sockets == 0 ? profile.sockets_for(cpus) : sockets, load};
  }
};
/// The question alone, without an answer.
report::TimeResult describe_hot_remove(const HotRemoveSpec& spec, const PricedOn& on);
report::TimeResult price_hot_remove(const HotRemoveSpec& spec, const HotRemoveRun& run, const PricedOn& on);

}  // namespace shootdown::scenario
