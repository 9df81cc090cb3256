// SPDX-License-Identifier: MIT
// The tables of the kernel half, looked at from outside of the procedures: which leaf or hole translates an
// address, and a summary of the whole tree that two moments can be compared by. Reads memory only.
#pragma once

#include <cstdint>

#include "mm/memory_map.hpp"

namespace shootdown::metal::guest {

using vmsa::Descriptor;
using vmsa::Level;
using vmsa::PhysAddr;
using vmsa::Regime;
using vmsa::VirtAddr;
using vmsa::VirtRange;

/// Reads one descriptor by its physical address.
using ReadDescriptor = Descriptor (*)(PhysAddr);

/// Where a walk ends: a leaf, or the level of the entry at which it faults.
struct Lookup {
  Level level;
  bool mapped = false;
  Descriptor descriptor;
};

constexpr Lookup look_up(const Regime& r, PhysAddr root, VirtAddr va, ReadDescriptor read) {
  PhysAddr table = root;
  for (Level level = r.root_level();; level = level.next()) {
    const Descriptor d = read(vmsa::slot_address(r, table, level, va));
    if (!d.is_table(level)) return {level, d.is_leaf(level), d};
    table = vmsa::output_address(r, level, d);
  }
}

/// What is in a tree. A table without a leaf below it counts as empty and enters no hash, so a tree that keeps
/// empty tables is otherwise equal to one that has freed them.
struct TreeSummary {
  std::uint64_t exact = 0;  ///< every leaf and every link that leads to one, addresses included
  std::uint64_t shape = 0;  ///< every leaf; its output address only in the linear map
  std::uint64_t leaf_count = 0;
  std::uint64_t table_count = 0;  ///< those that lead to a leaf, the root included
  std::uint64_t empty_count = 0;  ///< linked tables that lead to none
};

class TreeWalk {
 public:
  constexpr TreeWalk(const Regime& r, VirtRange linear, ReadDescriptor read)
      : r_(r), linear_(linear), read_(read) {}

  constexpr TreeSummary run(PhysAddr root) {
    sum_ = TreeSummary{.table_count = 1};
    walk(root, r_.root_level(), r_.base());
    return sum_;
  }

 private:
  static constexpr std::uint64_t mix(std::uint64_t h, std::uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
  }
  constexpr void leaf(Level level, VirtAddr va, Descriptor d) {
    ++sum_.leaf_count;
    const PhysAddr pa = vmsa::output_address(r_, level, d);
    const std::uint64_t attributes = d.bits & ~vmsa::make_leaf(r_, level, pa, no_attributes).bits;
    sum_.exact = mix(mix(sum_.exact, va.value + static_cast<unsigned>(level.value)), d.bits);
    sum_.shape = mix(mix(sum_.shape, va.value + static_cast<unsigned>(level.value)), attributes);
    if (linear_.contains(va)) sum_.shape = mix(sum_.shape, pa.value);
  }
  /// Below `table`; true when there is a leaf.
  constexpr bool walk(PhysAddr table, Level level, VirtAddr base) {
    const std::uint64_t leaves_before = sum_.leaf_count;
    for (unsigned i = 0; i < r_.entry_count(level); ++i) {
      const Descriptor d = read_(table + i * sizeof(Descriptor));
      const VirtAddr va = base + i * r_.span(level);
      if (d.is_leaf(level)) leaf(level, va, d);
      if (!d.is_table(level)) continue;
      if (walk(vmsa::output_address(r_, level, d), level.next(), va)) {
        ++sum_.table_count;
        sum_.exact = mix(mix(sum_.exact, va.value + static_cast<unsigned>(level.value)), d.bits);
      } else {
        ++sum_.empty_count;
      }
    }
    return sum_.leaf_count != leaves_before;
  }

  static constexpr vmsa::Attributes no_attributes{.accessed = false,
                                                  .privileged_execute_never = false,
                                                  .user_execute_never = false,
                                                  .shareability = vmsa::Shareability::none};
  Regime r_;
  VirtRange linear_;
  ReadDescriptor read_;
  TreeSummary sum_;
};

constexpr TreeSummary summarize(const Regime& r, PhysAddr root, VirtRange linear, ReadDescriptor read) {
  return TreeWalk(r, linear, read).run(root);
}

}  // namespace shootdown::metal::guest
