// SPDX-License-Identifier: MIT
// Steps already worked out, by the environment and the state of the CPU that makes them: the other CPUs' states do
// not matter, so most lookups hit. Bounded: an entry may be overwritten, and is then worked out again.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "machine/model/system.hpp"

namespace shootdown::explore {

class StepCache {
 public:
  using Step = model::System::Step;
  using Steps = model::System::Steps;

  struct Key {
    model::Env env;
    std::uint32_t who;

    Key(model::Env e, unsigned agent, model::System::Local local) : env(e), who(local << 3 | agent) {}
    friend bool operator==(const Key&, const Key&) = default;
    std::size_t hash() const {
      const std::uint64_t h = (std::uint64_t{env} << 32 | who) * 0x9e3779b97f4a7c15u;
      return h ^ h >> 32;
    }
  };

  /// The steps of `key`; `work_out(Steps&)` finds them where they are not known. Valid until the next call.
  template <typename WorkOut>
  std::span<const Step> at(const Key& key, WorkOut&& work_out) {
    auto& line = lines_[index(key)];
    if (line[0].key == key) return steps(line[0]);
    if (line[1].key == key) {
      std::swap(line[0], line[1]);  // the one used last stays longest
      return steps(line[0]);
    }
    fresh_.clear();
    work_out(fresh_);
    if (line[1].count == many) many_.erase(line[1].key);
    line[1] = line[0];
    line[0].key = key;
    line[0].count = static_cast<std::uint32_t>(std::min<std::size_t>(fresh_.size(), many));
    if (line[0].count == many)
      many_[key] = fresh_;
    else
      std::copy(fresh_.begin(), fresh_.end(), line[0].few.begin());
    return steps(line[0]);
  }

  std::size_t bytes() const {
    return lines_.size() * sizeof(lines_[0]) + many_.size() * (sizeof(Steps) + 2 * many * sizeof(Step));
  }

 private:
  static constexpr std::size_t many = 3;
  struct Entry {
    Key key{~model::Env{0}, 0, 0};
    std::uint32_t count = 0;  ///< `many`: as many as that or more, kept elsewhere
    std::array<Step, many - 1> few{};
  };
  struct Hash {
    std::size_t operator()(const Key& key) const { return key.hash(); }
  };

  std::size_t index(const Key& key) const { return key.hash() & (lines_.size() - 1); }
  std::span<const Step> steps(const Entry& e) const {
    if (e.count == many) return many_.find(e.key)->second;
    return {e.few.data(), e.count};
  }

  struct alignas(64) Line : std::array<Entry, 2> {};
  static_assert(sizeof(Line) == 64);

  std::vector<Line> lines_ = std::vector<Line>(1u << 12);
  boost::unordered_flat_map<Key, Steps, Hash> many_;
  Steps fresh_;
};

}  // namespace shootdown::explore
