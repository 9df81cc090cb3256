// SPDX-License-Identifier: MIT
// What an audit found, as plain data: filled by the judge, written by report/audit. No judgement here.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "audit/error.hpp"
#include "report/counts.hpp"
#include "shadow/harm.hpp"

namespace shootdown::audit {

/// Violations that differ in nothing but the moment are one finding with a count.
struct Violation {
  shadow::Harm harm = shadow::Harm::none;
  shadow::Cause cause = shadow::Cause::none;
  std::string title;     ///< stable: "stale-page in unmap_hotplug_range"
  std::string function;  ///< that changed the descriptor
  std::uint64_t count = 0;
  std::vector<std::string> splat;  ///< the first one, in the shape of a kernel's report
  std::string suppressed;          ///< the reason, when a --suppress file names it
};

/// A place in the kernel that issues an operation.
struct CallSite {
  std::string operation;  ///< "VAALE1IS", "DSB ISH", "SGI"
  std::string function;
  std::vector<std::string> callers;  ///< nearest first
  std::uint64_t count = 0;
  std::uint64_t redundant = 0;  ///< TLBIs that found nothing to remove in any shadow
  std::uint64_t repeated = 0;   ///< TLBIs equal to this CPU's one before
  std::uint64_t pages = 0;      ///< TLBIs by address: pages named, in all
};

/// What was done within one phase of the workload, or in the whole window.
struct Phase {
  std::string name;
  report::Counts counts;
  std::map<std::string, std::uint64_t> other_dsb;  ///< barriers that report::Counts has no place for ("SY")
  std::uint64_t other_tlbi = 0;                    ///< operations that are none of vmsa::tlbi_ops
};

struct AuditResult {
  std::string kernel;
  std::string release;
  std::string workload;
  std::string cpu_model;
  unsigned page_shift = 12;
  unsigned cpus = 0;
  std::uint64_t memory_bytes = 0;

  Phase window;
  std::vector<Phase> phases;
  std::vector<Violation> violations;
  std::vector<CallSite> call_sites;  ///< in the window, most frequent first
  /// How long values stayed stale, in the window: bucket i counts those below 2^i microseconds of host time.
  std::array<std::uint64_t, 32> stale_us{};
  /// By threads inside arch_remove_memory(), in the window; what interrupts them is not counted.
  Phase teardown;
  std::uint64_t events = 0;
  std::uint64_t stale_entries_max = 0;
  std::uint64_t deferred_count = 0;  ///< releases that lazy unmapping by design puts off the flush of
  std::vector<std::string> notes;    ///< what was seen and is no finding, and why
  std::vector<std::string> blind_spots;
  /// The kernel's functions that issue TLBIs (of EL1), and which of them did, from boot on.
  std::vector<std::string> maintenance;
  std::vector<std::string> maintenance_reached;
  std::vector<std::string> required_not_reached;  ///< of the functions that the run was to reach
  std::string judged_nothing;                     ///< why no violation says nothing; empty: it does
  /// Why the guest ended before its workload did; then all of the above holds until that moment.
  std::optional<Error> stopped;
  double seconds = 0;        ///< of the guest's run
  double judge_seconds = 0;  ///< of an offline judgement
};

}  // namespace shootdown::audit
