// SPDX-License-Identifier: MIT
// What a CPU did, by kind and by part of the procedure: counts only. prices.hpp turns them into time, as often
// as wanted, so that one run serves every sample of the uncertain parameters and every number of CPUs.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "machine/machine.hpp"
#include "report/counts.hpp"
#include "vmsa/tlbi.hpp"

namespace shootdown::timed {

/// Everything that costs time, except TLBI and barriers, which have counters of their own.
enum class Event : std::uint8_t {
  descriptor_read,
  descriptor_set,    ///< a store that makes an entry valid
  descriptor_clear,  ///< a store of the empty descriptor
  line_near,         ///< the access went to another cache line than the one before, and it was in the L2
  line_far,          ///< the same, and it was not
  isb,
  table_alloc,
  table_free,
  page_alloc,  ///< any order
  page_free,
  page_clear,
  page_defer,
  reschedule,
  lock,
  walk_step,   ///< one table read by a translation of this CPU
  flush_leaf,  ///< DSB ISHST; VAALE1IS; DSB ISH; ISB as one: the sequence of which a run has a hundred million
  flush_table,  ///< the same with VAAE1IS
};
inline constexpr std::size_t event_count = 17;

/// Where in hot-remove: which address range, and which pass over it.
enum class Region : std::uint8_t { none, vmemmap, linear };
enum class Pass : std::uint8_t { none, unmap, tables };
struct Phase {
  Region region = Region::none;
  Pass pass = Pass::none;
  friend constexpr bool operator==(Phase, Phase) = default;
  constexpr std::size_t index() const {
    return static_cast<std::size_t>(region) * 3 + static_cast<std::size_t>(pass);
  }
};
inline constexpr std::size_t phase_count = 9;

/// Counters of one phase.
struct Tally {
  std::array<std::uint64_t, vmsa::tlbi_ops.size()> tlbi{};
  std::array<std::uint64_t, machine::dsb_names.size()> dsb{};
  std::array<std::uint64_t, event_count> event{};

  std::uint64_t& operator[](Event e) { return event[static_cast<std::size_t>(e)]; }
  std::uint64_t operator[](Event e) const { return event[static_cast<std::size_t>(e)]; }
  /// The whole sequences among the events spelt out as the operations that they are made of.
  Tally expanded() const;
  Tally& operator+=(const Tally& other);
  Tally& operator-=(const Tally& other);
  friend bool operator==(const Tally&, const Tally&) = default;
};

/// Broadcast invalidations between two completions: they share the queue, so they have one price together.
struct Batch {
  std::uint32_t singles = 0;  ///< by address
  std::uint32_t ranges = 0;
  std::uint32_t alls = 0;         ///< by ASID, or everything
  std::uint64_t range_pages = 0;  ///< over all ranges
  bool repeat = false;            ///< the erratum's extra operation

  friend constexpr bool operator==(const Batch&, const Batch&) = default;
  constexpr std::uint64_t operations() const { return std::uint64_t{singles} + ranges + alls; }
};
struct BatchCount {
  std::size_t phase = 0;
  Batch batch;
  std::uint64_t count = 0;
};

class Ledger {
 public:
  std::array<Tally, phase_count> phases{};
  std::vector<BatchCount> batches;  ///< those that no flush_* event stands for

  void add_batch(std::size_t phase, const Batch& batch, std::uint64_t count = 1);
  Tally total() const;  ///< expanded
  report::Counts counts() const;
  /// What happened after `earlier`, a former state of this ledger.
  Ledger since(const Ledger& earlier) const;

 private:
  std::size_t last_hit_ = 0;  // the next batch is most often of the same kind
};

}  // namespace shootdown::timed
