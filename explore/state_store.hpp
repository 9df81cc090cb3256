// SPDX-License-Identifier: MIT
// All states found so far, in the order they were found: 12 bytes a state, 6 for the way back, and an index.
// Exact: states are compared, not their hashes. The queue of a breadth-first search is a position in it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <vector>

#include "machine/model/system.hpp"

namespace shootdown::explore {

/// One step out of a state: who made it, and which of that one's possible steps.
struct Choice {
  static constexpr unsigned environment = 7;
  std::uint16_t bits = 0;

  constexpr Choice() = default;
  constexpr Choice(unsigned agent, std::size_t ordinal)
      : bits(static_cast<std::uint16_t>(agent << 13 | ordinal)) {}
  constexpr unsigned agent() const { return bits >> 13; }  ///< a CPU, or `environment`
  constexpr std::size_t ordinal() const { return bits & 0x1fff; }
  friend constexpr bool operator==(Choice, Choice) = default;
};

class StateStore {
 public:
  using State = model::System::State;
  using Index = std::uint32_t;

  explicit StateStore(unsigned cpu_count) : anchors_(cpu_count), locals_(cpu_count) {}

  std::size_t size() const { return states_.size(); }
  State operator[](Index i) const;
  Index parent(Index i) const { return parents_[i]; }
  Choice choice(Index i) const { return choices_[i]; }

  /// Adds a state unless it is known; true when it is new. Throws std::length_error when the packing is full.
  bool insert(const State& s, Index parent, Choice choice);
  std::size_t bytes() const;

 private:
  struct Packed {
    std::uint32_t env;
    std::array<std::uint16_t, model::max_cpus> locals;
    friend bool operator==(const Packed&, const Packed&) = default;
  };
  static_assert(sizeof(Packed) == 12);

  static std::uint64_t hash(const Packed& p);
  std::uint16_t anchor(unsigned cpu, model::System::Local local);
  void grow();

  std::vector<Packed> states_;
  std::vector<Index> parents_;
  std::vector<Choice> choices_;
  std::vector<Index> slots_ = std::vector<Index>(1024, 0);  ///< position + 1
  /// States of one procedure that the search stops at are few among all: they get small numbers.
  std::vector<std::vector<std::uint32_t>> anchors_;        ///< local -> anchor + 1
  std::vector<std::vector<model::System::Local>> locals_;  ///< anchor -> local
};

}  // namespace shootdown::explore
