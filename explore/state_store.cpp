// SPDX-License-Identifier: MIT
#include "explore/state_store.hpp"

#include <cstring>

namespace shootdown::explore {

std::uint64_t StateStore::hash(const Packed& p) {
  std::array<std::uint64_t, 2> words;
  static_assert(sizeof words == sizeof p);
  std::memcpy(words.data(), &p, sizeof words);
  std::uint64_t h = (words[0] ^ 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
  h = (h ^ h >> 32 ^ words[1]) * 0xc4ceb9fe1a85ec53u;
  return h ^ h >> 29;
}

std::uint16_t StateStore::new_anchor(unsigned agent, Local local) {
  auto& known = anchors_[agent];
  if (known.size() <= local) known.resize(local + 1 + local / 2, 0);
  if (locals_[agent].size() >= 0xffff) throw std::length_error("more than 65535 states of one procedure");
  locals_[agent].push_back(local);
  known[local] = static_cast<std::uint32_t>(locals_[agent].size());
  return static_cast<std::uint16_t>(known[local] - 1);
}

StateStore::State StateStore::operator[](Index i) const {
  const Packed& p = states_[i];
  State s{p.env, {}};
  for (unsigned agent = 0; agent < locals_.size(); ++agent) s.locals[agent] = locals_[agent][p.locals[agent]];
  return s;
}

void StateStore::grow() {
  const std::size_t size = slots_.size() * 2;
  slots_ = {};  // before the larger one is there: both need not be
  slots_.resize(size, 0);
  for (Index i = 0; i < states_.size(); ++i) {
    const std::uint64_t h = hash(states_[i]);
    std::size_t at = h & mask();
    while (slots_[at] != 0) at = (at + 1) & mask();
    slots_[at] = tag(h) | (i + 1);
  }
}

StateStore::Index StateStore::insert(const Reached& r) {
  if (states_.size() * 4 >= slots_.size() * 3) grow();
  const std::uint32_t wanted = tag(r.hash);
  std::size_t at = r.hash & mask();
  for (; slots_[at] != 0; at = (at + 1) & mask())
    if ((slots_[at] & ~mask()) == wanted && states_[(slots_[at] & mask()) - 1] == r.state)
      return (slots_[at] & mask()) - 1;
  if (states_.size() >= 0xfffffffeu) throw std::length_error("more than 2^32 states");
  states_.push_back(r.state);
  parents_.push_back(r.from);
  choices_.push_back(r.by);
  slots_[at] = wanted | static_cast<std::uint32_t>(states_.size());
  return end() - 1;
}

void StateStore::insert(const State& s) {
  Packed p{s.env, {}};
  for (unsigned agent = 0; agent < locals_.size(); ++agent) p.locals[agent] = anchor(agent, s.locals[agent]);
  insert(Reached{p, 0, {}, {}, false, hash(p)});
}

void StateStore::settle() {
  for (std::size_t i = 0; i < reached_count_; ++i) {
    const std::uint32_t slot = slots_[reached_[i].hash & mask()];
    if ((slot & ~mask()) == tag(reached_[i].hash) && slot != 0)
      __builtin_prefetch(&states_[(slot & mask()) - 1]);
  }
  for (std::size_t i = 0; i < reached_count_; ++i) {
    const Index to = insert(reached_[i]);
    if (graph_) graph_->add(reached_[i].from, to, reached_[i].mover, reached_[i].early);
  }
  reached_count_ = 0;
}

std::size_t StateStore::bytes() const {
  return states_.bytes() + parents_.bytes() + choices_.bytes() + slots_.capacity() * sizeof(slots_[0]) +
         (graph_ ? graph_->bytes() : 0);
}

}  // namespace shootdown::explore
