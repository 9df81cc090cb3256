// SPDX-License-Identifier: MIT
// The steps between the states of a search, for the questions that no single state answers: 5 bytes a step and 6 a
// state.
#pragma once

#include <vector>

#include "explore/chunks.hpp"
#include "machine/model/system.hpp"

namespace shootdown::explore {

/// Who or what makes a step: an agent; what drains out of a CPU's buffer; hardware that sets a flag; the end of a grace
/// period.
struct Mover {
  std::uint8_t number = 0;

  static constexpr unsigned first_drain = model::max_agents;
  static constexpr unsigned flag_update = first_drain + model::System::flag_update;
  static constexpr unsigned count = first_drain + model::System::grace_end + 1;
  static Mover agent(unsigned a) { return {static_cast<std::uint8_t>(a)}; }
  /// By what System::Step::local says.
  static Mover environment(model::System::Local what) {
    return {static_cast<std::uint8_t>(first_drain + what)};
  }

  bool is_agent() const { return number < first_drain; }
  std::uint32_t bit() const { return 1u << number; }
  friend bool operator==(Mover, Mover) = default;
};
static_assert(Mover::count <= 32);

class Graph {
 public:
  using Index = std::uint32_t;
  struct Edge {
    Index to;
    Mover by;
    bool early;  ///< a read returned what its word was before
  };

  /// The steps of a state come one after the other; those that come again later, after a `close`, replace them.
  void add(Index from, Index to, Mover by, bool early) {
    if (from != open_) {
      open_ = from;
      if (states_.size() <= from) states_.resize(from + from / 2 + 1);
      states_[from] = {static_cast<Index>(to_.size()), 0};
    }
    ++states_[from].count;
    to_.push_back(to);
    by_.push_back(static_cast<std::uint8_t>(by.number | (early ? early_bit : 0)));
  }
  void close() { open_ = none; }

  unsigned out_degree(Index from) const { return from < states_.size() ? states_[from].count : 0; }
  Edge edge(Index from, unsigned i) const {
    const std::size_t at = states_[from].first + std::size_t{i};
    return {to_[at], {static_cast<std::uint8_t>(by_[at] & ~early_bit)}, (by_[at] & early_bit) != 0};
  }
  template <typename Fn>
  void each_edge(Index from, Fn&& fn) const {
    for (unsigned i = 0; i < out_degree(from); ++i) fn(edge(from, i));
  }
  std::size_t bytes() const { return to_.bytes() + by_.bytes() + states_.capacity() * sizeof(states_[0]); }

 private:
  static constexpr Index none = ~Index{0};
  static constexpr std::uint8_t early_bit = 0x80;
  struct Out {
    Index first = 0;
    std::uint32_t count = 0;
  };

  Chunks<Index> to_;
  Chunks<std::uint8_t> by_;
  std::vector<Out> states_;
  Index open_ = none;
};

}  // namespace shootdown::explore
