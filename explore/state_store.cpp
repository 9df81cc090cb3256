// SPDX-License-Identifier: MIT
#include "explore/state_store.hpp"

#include <cstring>

namespace shootdown::explore {

std::uint64_t StateStore::hash(const Packed& p) {
  std::uint64_t locals = 0;
  std::memcpy(&locals, p.locals.data(), sizeof locals);
  std::uint64_t h = (locals ^ 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
  h = (h ^ h >> 32 ^ p.env) * 0xc4ceb9fe1a85ec53u;
  return h ^ h >> 29;
}

std::uint16_t StateStore::anchor(unsigned cpu, model::System::Local local) {
  auto& known = anchors_[cpu];
  if (known.size() <= local) known.resize(local + 1 + local / 2, 0);
  if (known[local] == 0) {
    if (locals_[cpu].size() >= 0xffff) throw std::length_error("more than 65535 states of one procedure");
    locals_[cpu].push_back(local);
    known[local] = static_cast<std::uint32_t>(locals_[cpu].size());
  }
  return static_cast<std::uint16_t>(known[local] - 1);
}

StateStore::State StateStore::operator[](Index i) const {
  State s{states_[i].env, {}};
  for (unsigned cpu = 0; cpu < locals_.size(); ++cpu) s.locals[cpu] = locals_[cpu][states_[i].locals[cpu]];
  return s;
}

void StateStore::grow() {
  std::vector<Index> slots(slots_.size() * 2, 0);
  for (Index i = 0; i < states_.size(); ++i) {
    std::size_t at = hash(states_[i]) & (slots.size() - 1);
    while (slots[at] != 0) at = (at + 1) & (slots.size() - 1);
    slots[at] = i + 1;
  }
  slots_ = std::move(slots);
}

bool StateStore::insert(const State& s, Index parent, Choice choice) {
  Packed p{s.env, {}};
  for (unsigned cpu = 0; cpu < locals_.size(); ++cpu) p.locals[cpu] = anchor(cpu, s.locals[cpu]);
  if (states_.size() * 4 >= slots_.size() * 3) grow();
  std::size_t at = hash(p) & (slots_.size() - 1);
  for (; slots_[at] != 0; at = (at + 1) & (slots_.size() - 1))
    if (states_[slots_[at] - 1] == p) return false;
  if (states_.size() >= 0xfffffffeu) throw std::length_error("more than 2^32 states");
  states_.push_back(p);
  parents_.push_back(parent);
  choices_.push_back(choice);
  slots_[at] = static_cast<Index>(states_.size());
  return true;
}

std::size_t StateStore::bytes() const {
  return states_.capacity() * sizeof(Packed) + parents_.capacity() * sizeof(Index) +
         choices_.capacity() * sizeof(Choice) + slots_.capacity() * sizeof(Index);
}

}  // namespace shootdown::explore
