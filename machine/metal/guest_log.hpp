// SPDX-License-Identifier: MIT
// What the image says on its console: one JSON object a line, told from noise by its key "metal". Nothing here
// trusts the guest: cut, garbled, repeated and missing lines are all expected. Judging is not done here.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/counts.hpp"

namespace shootdown::metal {

/// "start": the machine is up.
struct GuestStart {
  unsigned page_shift = 0;
  unsigned va_bits = 0;
  unsigned cpus = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t boot_base = 0;  ///< where boot memory begins
  std::uint64_t counter_hz = 0;
  bool range_tlbi = false;
  bool hardware_access_flag = false;
  unsigned bbm_level = 0;
};

/// "result": the facts of one strategy.
struct GuestResult {
  std::string strategy;
  std::uint64_t stale_accesses = 0;  ///< loads that succeeded after the removal, on all CPUs
  std::uint64_t freed_reads = 0;     ///< loads during the removal that read a vmemmap page after it was freed
  std::uint64_t expected_faults = 0;  ///< loads after the removal that faulted as the tables say
  std::uint64_t other_faults = 0;     ///< ... in another way; the last one's ESR and address follow
  std::string bad_fault_esr, bad_fault_va;
  std::uint64_t bad_values = 0;  ///< before the removal: a load that did not read what was stored
  report::Counts counts;         ///< of the removal
  std::uint64_t tables_allocated = 0;
  std::uint64_t released_bytes = 0;
  std::uint64_t add_ticks = 0, remove_ticks = 0;
  bool tree_restored = false;             ///< the same leaves and links as before the hot-add
  std::int64_t tables_kept = 0;           ///< table pages allocated by the hot-add and not freed since
  std::uint64_t empty_tables_before = 0;  ///< linked tables without a leaf, before the hot-add
  std::uint64_t empty_tables = 0;         ///< and after the removal
  std::uint64_t leaves_added = 0;
  bool vmemmap_pages_restored = false;
  std::int64_t free_pages_lost = 0;
  bool memblock_restored = false;
  std::optional<bool> again_identical;  ///< the second hot-add built the same tree
  std::optional<bool> again_restored;   ///< and its removal left the same tree and pages
  std::uint64_t warnings = 0;
};

/// Collects the console. Feed it as it comes, in pieces of any size.
class GuestLog {
 public:
  static constexpr std::size_t max_line = 16384;  ///< longer lines are noise
  static constexpr std::size_t tail_lines = 12;   ///< console lines kept for error messages

  void feed(std::string_view bytes);
  /// The end of the stream: a last line without a newline is cut, and only shown.
  void finish();

  const std::optional<GuestStart>& start() const { return start_; }
  const std::vector<GuestResult>& results() const { return results_; }
  /// The image said "end".
  bool ended() const { return ended_; }
  /// The image said that the CPU lacks something: what.
  const std::string& unsupported() const { return unsupported_; }
  /// The image refused, panicked, took an exception or said something that makes no sense: one line.
  const std::string& trouble() const { return trouble_; }
  /// "P: remove": the last phase begun.
  const std::string& phase() const { return phase_; }
  /// Warnings of the procedures, each text once.
  const std::vector<std::string>& warnings() const { return warnings_; }
  /// The last console lines, noise included, made printable.
  const std::deque<std::string>& tail() const { return tail_; }

 private:
  void line(std::string_view text);
  void note_trouble(std::string text);

  std::string partial_;
  bool overlong_ = false;
  std::optional<GuestStart> start_;
  std::vector<GuestResult> results_;
  bool ended_ = false;
  std::string unsupported_, trouble_, phase_;
  std::vector<std::string> warnings_;
  std::deque<std::string> tail_;
};

}  // namespace shootdown::metal
