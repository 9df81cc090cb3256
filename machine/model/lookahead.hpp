// SPDX-License-Identifier: MIT
// What is known of the procedures' future: which words a CPU may read before something orders its reads. A value that
// a word had is worth remembering for these alone. Learnt from the steps that a search makes; a search that exhausts what
// it can reach while reads are in order has seen every state of every procedure that the words' values allow, and is
// repeated, with early reads, as long as something new is learnt.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "machine/model/interner.hpp"
#include "machine/model/operation.hpp"

namespace shootdown::model {

class Lookahead {
 public:
  using Local = std::uint32_t;
  using Id = std::uint16_t;
  static constexpr Id everything = 0;  ///< nothing is known: every word may be read

  explicit Lookahead(unsigned agents) : agents_(agents) {}

  /// An agent has read a word in one of its states; its operation there orders its reads; a step led from one to another.
  void reads(unsigned agent, Local at, PhysAddr slot);
  void orders(unsigned agent, Local at);
  void steps(unsigned agent, Local from, Local to);

  /// Has anything been learnt that `watched` does not know of?
  bool grown() const { return grown_; }
  /// Works out, for every state of every agent, the words that it may read before its reads are ordered.
  void settle();

  /// The words watched by an agent in one of its states.
  Id watched(unsigned agent, Local at) const;
  bool watches(Id set, PhysAddr slot) const;

 private:
  struct State {
    std::set<std::uint64_t> reads;
    std::set<Local> next;
    bool orders = false;
    Id watched = everything;
  };
  State& state(unsigned agent, Local at);

  std::vector<std::vector<State>> agents_;
  std::vector<std::vector<std::uint64_t>> sets_{{}};  ///< sorted; the first stands for everything
  bool grown_ = false;
};

}  // namespace shootdown::model
