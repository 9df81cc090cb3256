// SPDX-License-Identifier: MIT
// What was worked out for environments that the search has left, for the states of later levels that have them too:
// a ring of bounded size, where the oldest is written over.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "machine/model/system.hpp"

namespace shootdown::explore {

/// Whose steps, and how many of them.
struct StepsOf {
  std::uint32_t agent : 3;
  std::uint32_t local : 29;
  std::uint32_t count;
};

class KeptSteps {
 public:
  using Steps = model::System::Steps;

  /// Keeps the steps out of `env`: those of `who` one after the other in `steps`.
  void keep(model::Env env, const std::vector<StepsOf>& who, const Steps& steps) {
    const std::size_t size = 2 + who.size() + steps.size();
    while (head_ + size > ring_.size() && ring_.size() < max_size) ring_.resize(ring_.size() * 2);
    if (size > ring_.size()) return;
    const std::size_t at = head_ % ring_.size();
    if (at + size > ring_.size()) head_ += ring_.size() - at;  // in one piece
    if (where_.size() <= env) where_.resize(env + env / 2 + 1);
    where_[env] = static_cast<std::uint32_t>(head_ + 1);
    Pair* out = &ring_[head_ % ring_.size()];
    *out++ = {env, header};
    *out++ = {static_cast<std::uint32_t>(who.size()), static_cast<std::uint32_t>(steps.size())};
    for (const StepsOf w : who) *out++ = {std::uint32_t{w.local} << 3 | w.agent, w.count};
    for (const auto& s : steps)
      *out++ = {s.env, s.local | std::uint32_t{s.early} << 30 | std::uint32_t{s.violates} << 31};
    head_ += size;
  }

  /// Appends what is known of `env`, if it is still here.
  void recall(model::Env env, std::vector<StepsOf>& who, Steps& steps) const {
    if (where_.size() <= env || where_[env] == 0) return;
    const std::uint32_t at = where_[env] - 1;
    const Pair* in = &ring_[at % ring_.size()];
    if (static_cast<std::uint32_t>(head_) - at > ring_.size() || *in++ != Pair{env, header}) return;
    const auto [who_count, step_count] = *in++;
    for (std::uint32_t i = 0; i < who_count; ++i, ++in)
      who.push_back({(*in)[0] & 7, (*in)[0] >> 3, (*in)[1]});
    for (std::uint32_t i = 0; i < step_count; ++i, ++in)
      steps.push_back({(*in)[0], (*in)[1] & 0x3fffffff, (*in)[1] >> 30 & 1, (*in)[1] >> 31});
  }

  std::size_t bytes() const {
    return ring_.capacity() * sizeof(Pair) + where_.capacity() * sizeof(where_[0]);
  }

 private:
  using Pair = std::array<std::uint32_t, 2>;
  static constexpr std::uint32_t header = ~std::uint32_t{0};     ///< no count, and no state of a procedure
  static constexpr std::size_t max_size = std::size_t{1} << 20;  ///< pairs: 8 MiB

  std::vector<Pair> ring_ = std::vector<Pair>(std::size_t{1} << 10);
  std::uint64_t head_ = 0;            ///< pairs ever written
  std::vector<std::uint32_t> where_;  ///< by environment: the low bits of its position + 1
};

}  // namespace shootdown::explore
