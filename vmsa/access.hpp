// SPDX-License-Identifier: MIT
// What an access asks of a leaf, and how it fails: permissions of stage 1 without PAN, POE or GCS (D8.4).
// Pure functions of (leaf, access).
#pragma once

#include <cstdint>

#include "vmsa/descriptor.hpp"

namespace shootdown::vmsa {

enum class Right : std::uint8_t { read, write, execute };

struct AccessKind {
  Right right = Right::read;
  bool user = false;  ///< at EL0

  friend constexpr bool operator==(AccessKind, AccessKind) = default;
};

/// Kinds of MMU fault, by priority (D8.15): a translation fault before the access flag before the permission.
enum class Fault : std::uint8_t { none, translation, access_flag, permission };

/// Is the access permitted by this leaf, its access flag aside? `writable clean` (DBM) counts as writable: hardware
/// makes it dirty in the tables first, or the write faults there.
constexpr bool permits(Descriptor leaf, AccessKind a) {
  if (a.user && !leaf.has(Descriptor::user_bit) && a.right != Right::execute) return false;
  switch (a.right) {
    case Right::read: return true;
    case Right::write: return is_writable(leaf);
    case Right::execute: return !leaf.has(a.user ? Descriptor::uxn_bit : Descriptor::pxn_bit);
  }
  return false;
}

/// Writable, but hardware has yet to note that it was written (DBM set, AP[2] set).
constexpr bool is_writable_clean(Descriptor leaf) {
  return leaf.has(Descriptor::dbm_bit) && leaf.has(Descriptor::read_only_bit);
}

}  // namespace shootdown::vmsa
