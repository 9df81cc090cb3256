// SPDX-License-Identifier: MIT
// From counts to time: what each counted thing costs the CPU that does it, on a machine of given figures and
// size, beside a given load of the others. What the others suffer is system.hpp.
#pragma once

#include <array>
#include <string_view>

#include "machine/timed/ledger.hpp"
#include "machine/timed/load.hpp"
#include "machine/timed/parameters.hpp"

namespace shootdown::timed {

/// How many CPUs and sockets there are and what the other CPUs do; the rest of a machine is in its figures.
struct MachineSetup {
  unsigned cpus = 1;
  unsigned sockets = 1;
  Load load = Load::compute;
};

/// Where time goes, as reports name it.
enum class Cost : std::uint8_t {
  linear_leaf_flush,
  linear_clear,  ///< pass 1 without its flushes
  linear_table_flush,
  linear_table_scan,  ///< pass 2 without its flushes
  vmemmap_leaf_flush,
  vmemmap_clear,
  vmemmap_table_flush,
  vmemmap_table_scan,
  final_flush,     ///< the one flush of leaves and tables together
  erratum_repeat,  ///< what the repeat-TLBI erratum adds
  free_pages,      ///< table and vmemmap pages handed back, lists of them included
  other,
};
inline constexpr std::array<std::string_view, 12> cost_names{
    "linear_leaf_flush",  "linear_clear",   "linear_table_flush",  "linear_table_scan",
    "vmemmap_leaf_flush", "vmemmap_clear",  "vmemmap_table_flush", "vmemmap_table_scan",
    "final_flush",        "erratum_repeat", "free_pages",          "other"};

struct Breakdown {
  std::array<Nanoseconds, cost_names.size()> parts;

  Nanoseconds& operator[](Cost c) { return parts[static_cast<std::size_t>(c)]; }
  Nanoseconds operator[](Cost c) const { return parts[static_cast<std::size_t>(c)]; }
  Breakdown& operator+=(const Breakdown& other);
  Nanoseconds total() const;
};

/// One phase of a ledger in time.
struct PhaseTime {
  Breakdown breakdown;
  Nanoseconds latency;  ///< of one completed broadcast in it
};

/// Prices of one machine. Building them takes nanoseconds, so every sample builds its own.
class Prices {
 public:
  Prices(const ParamValues& values, MachineSetup setup);

  const LoadFigures& load() const { return load_; }
  /// A TLBI to everybody and the DSB that completes it, one issuer. What the whole system completes when many issue
  /// says nothing about it: they get into each other's way.
  Nanoseconds broadcast() const { return broadcast_; }
  /// The same for a CPU that does `apart` of other work between two, beside others that broadcast as well.
  Nanoseconds broadcast_beside_load(Nanoseconds apart) const;
  /// What the broadcasts of that load take while nobody else issues any.
  Nanoseconds broadcast_of_load() const;
  /// Several operations and the DSB that completes them all, when one alone takes `latency`.
  Nanoseconds batch(const Batch& b, Nanoseconds latency) const;
  Nanoseconds batch(const Batch& b) const { return batch(b, broadcast_); }

  PhaseTime phase(const Ledger& ledger, std::size_t index) const;
  Breakdown breakdown(const Ledger& ledger) const;
  Nanoseconds total(const Ledger& ledger) const { return breakdown(ledger).total(); }

 private:
  /// All of a phase but the broadcasts.
  void add_own_work(const Tally& tally, Phase phase, Breakdown& to) const;

  ParamValues values_;
  MachineSetup setup_;
  LoadFigures load_;
  Nanoseconds broadcast_;
};

}  // namespace shootdown::timed
