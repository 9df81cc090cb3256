// SPDX-License-Identifier: MIT
// The hand-written reference for the explorer: what a TLB may still hold, in a few bytes a descriptor, and an
// exhaustive walk over plain structs. Nothing of machine/model, shadow or explore may be used here.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <queue>
#include <set>

namespace shootdown::reference {

inline constexpr unsigned max_cpus = 4;

/// One stale descriptor of the kernel half: who holds it, who has only its ISB left to do, whose DSB has followed the
/// change (only their TLBIs act on it), and from whom each CPU's outstanding invalidation will take it.
struct Held {
  std::uint8_t holders = 0;
  std::uint8_t no_isb_yet = 0;
  std::uint8_t ordered = 0;
  std::array<std::uint8_t, max_cpus> doomed{};  ///< by issuer

  auto operator<=>(const Held&) const = default;
  bool held_by(unsigned cpu) const { return (holders >> cpu & 1) != 0; }

  /// The descriptor stops being what memory says: these CPUs may hold it, whatever was issued before.
  void make_stale(std::uint8_t cpus) {
    holders |= cpus;
    no_isb_yet &= static_cast<std::uint8_t>(~cpus);
    ordered = 0;
    for (auto& d : doomed) d &= static_cast<std::uint8_t>(~cpus);
  }
  void tlbi(unsigned issuer) {
    if ((ordered >> issuer & 1) != 0) doomed[issuer] |= holders;
  }
  void dsb_ishst(unsigned cpu) {
    if (holders != 0) ordered |= static_cast<std::uint8_t>(1u << cpu);
  }
  void dsb(unsigned issuer) {
    dsb_ishst(issuer);
    const std::uint8_t taken = doomed[issuer];
    const auto self = static_cast<std::uint8_t>(taken & 1u << issuer);
    no_isb_yet |= self;
    holders &= static_cast<std::uint8_t>(~(taken ^ self));
    doomed[issuer] = 0;
    for (auto& d : doomed) d &= holders;
    forget_if_free();
  }
  void isb(unsigned cpu) {
    if ((no_isb_yet >> cpu & 1) == 0) return;
    const auto others = static_cast<std::uint8_t>(~(1u << cpu));
    no_isb_yet &= others;
    holders &= others;
    for (auto& d : doomed) d &= others;
    forget_if_free();
  }

 private:
  void forget_if_free() {
    if (holders == 0) *this = {};
  }
};

struct Counts {
  std::uint64_t states = 0;
  std::uint64_t transitions = 0;
  std::uint64_t ends = 0;  ///< states without a step

  friend bool operator==(const Counts&, const Counts&) = default;
};

/// Visits everything reachable: `next(state, sink)` calls `sink(successor)` once for each transition.
template <typename State, typename Next>
Counts count(const State& start, Next&& next) {
  std::set<State> seen{start};
  std::queue<State> open;
  open.push(start);
  Counts c;
  for (; !open.empty(); open.pop()) {
    const std::uint64_t before = c.transitions;
    next(open.front(), [&](const State& successor) {
      ++c.transitions;
      if (seen.insert(successor).second) open.push(successor);
    });
    if (c.transitions == before) ++c.ends;
  }
  c.states = seen.size();
  return c;
}

}  // namespace shootdown::reference
