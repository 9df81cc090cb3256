// SPDX-License-Identifier: MIT
#include "machine/model/lookahead.hpp"

#include <algorithm>
#include <map>
#include <stdexcept>

namespace shootdown::model {

Lookahead::State& Lookahead::state(unsigned agent, Local at) {
  auto& states = agents_[agent];
  if (states.size() <= at) states.resize(at + 1);
  return states[at];
}

void Lookahead::reads(unsigned agent, Local at, PhysAddr slot) {
  grown_ |= state(agent, at).reads.insert(slot.value).second;
}

void Lookahead::orders(unsigned agent, Local at) { state(agent, at).orders = true; }

void Lookahead::steps(unsigned agent, Local from, Local to) {
  state(agent, to);
  grown_ |= state(agent, from).next.insert(to).second;
}

// Backwards to a fixpoint: what a state reads itself (an acquire reads before it orders), and, unless its operation orders
// the reads behind it, what its successors watch.
void Lookahead::settle() {
  grown_ = false;
  sets_.assign(1, {});
  std::map<std::vector<std::uint64_t>, Id> known;
  for (auto& states : agents_) {
    std::vector<std::set<std::uint64_t>> live(states.size());
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t i = states.size(); i-- > 0;) {
        std::set<std::uint64_t> words = states[i].reads;
        if (!states[i].orders)
          for (const Local n : states[i].next) words.insert(live[n].begin(), live[n].end());
        changed |= words.size() != live[i].size();
        live[i] = std::move(words);
      }
    }
    for (std::size_t i = 0; i < states.size(); ++i) {
      const std::vector<std::uint64_t> words(live[i].begin(), live[i].end());
      const auto [at, fresh] = known.emplace(words, static_cast<Id>(sets_.size()));
      if (fresh) sets_.push_back(words);
      states[i].watched = at->second;
    }
  }
  if (sets_.size() > 0xffff) throw std::length_error("more than 65535 sets of words that are watched");
}

Lookahead::Id Lookahead::watched(unsigned agent, Local at) const {
  return at < agents_[agent].size() ? agents_[agent][at].watched : everything;
}

bool Lookahead::watches(Id set, PhysAddr slot) const {
  return set == everything || std::ranges::binary_search(sets_[set], slot.value);
}

}  // namespace shootdown::model
