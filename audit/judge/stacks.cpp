// SPDX-License-Identifier: MIT
#include "audit/judge/stacks.hpp"

#include <algorithm>

namespace shootdown::audit {
namespace {
/// Stacks are numbered as they come.
constexpr std::uint32_t stack_number_gap_max = 1u << 12;
constexpr unsigned depth_max = 64;
}  // namespace

std::string_view function_of(std::string_view place) { return place.substr(0, place.find('+')); }

void Stacks::add_frame(std::uint32_t stack, unsigned depth, std::uint64_t address) {
  // A damaged trace must not make us allocate without end.
  if (stack > stacks_.size() + stack_number_gap_max || depth >= depth_max) return;
  if (stack >= stacks_.size()) stacks_.resize(stack + 1);
  auto& addresses = stacks_[stack].addresses;
  if (depth == 0) stacks_[stack] = {};
  if (addresses.size() <= depth) addresses.resize(depth + 1);
  addresses[depth] = address;
}

const Stacks::Stack& Stacks::resolved(std::uint32_t number) {
  static const Stack unknown;
  if (number >= stacks_.size()) return unknown;
  Stack& s = stacks_[number];
  if (!s.places.empty() || s.addresses.empty()) return s;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < s.addresses.size(); ++i) {
    // A return address points behind its call, which may be the next function already.
    const std::uint64_t address = s.addresses[i];
    names.push_back(symbolizer_(address));
    if (i > 0 && names.back().find("+0x0/") != std::string::npos) names.back() = symbolizer_(address - 4);
  }
  // The link register is this function's own (it has called something), or the frame record has it too.
  const bool own_link = names.size() > 1 && (function_of(names[1]) == function_of(names[0]) ||
                                             (names.size() > 2 && s.addresses[1] == s.addresses[2]) ||
                                             names[1].starts_with("0x"));
  if (own_link) names.erase(names.begin() + 1);
  for (const std::string& name : names) s.functions.emplace_back(function_of(name));
  s.places = std::move(names);
  return s;
}

const std::vector<std::string>& Stacks::places(std::uint32_t stack) { return resolved(stack).places; }
const std::vector<std::string>& Stacks::functions(std::uint32_t stack) { return resolved(stack).functions; }

bool Stacks::passes_through(std::uint32_t stack, std::string_view function) {
  const auto& names = functions(stack);
  return std::ranges::find(names, function) != names.end();
}

bool Stacks::any_passes_through(std::string_view function) {
  for (std::uint32_t i = 0; i < stacks_.size(); ++i)
    if (passes_through(i, function)) return true;
  return false;
}

std::map<std::uint64_t, std::string> Stacks::names() const {
  std::map<std::uint64_t, std::string> all;
  for (const Stack& s : stacks_)
    for (std::uint64_t address : s.addresses) {
      all.try_emplace(address, symbolizer_(address));
      if (all[address].find("+0x0/") != std::string::npos)
        all.try_emplace(address - 4, symbolizer_(address - 4));
    }
  return all;
}

}  // namespace shootdown::audit
