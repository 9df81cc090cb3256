// SPDX-License-Identifier: MIT
// Which memory exists: a small sorted array of ranges, like Linux's memblock. No locking.
#pragma once

#include <array>
#include <cstdint>

#include "vmsa/address.hpp"

namespace shootdown::metal::guest {

using vmsa::PhysAddr;
using vmsa::PhysRange;

class Memblock {
 public:
  static constexpr unsigned capacity = 16;

  /// Joins the range with what is there; false when the array is full (then nothing has changed).
  constexpr bool add(PhysRange range) {
    if (range.empty()) return true;
    Memblock out;
    for (unsigned i = 0; i < count_; ++i) {
      const PhysRange r = ranges_[i];
      if (r.end < range.start || range.end < r.start) {
        if (!out.append(r)) return false;
      } else {
        range = {r.start < range.start ? r.start : range.start, r.end < range.end ? range.end : r.end};
      }
    }
    if (!out.append(range)) return false;
    return *this = out, true;
  }

  /// Takes the range out of what is there; false when the array is full (then nothing has changed).
  constexpr bool remove(PhysRange range) {
    Memblock out;
    for (unsigned i = 0; i < count_; ++i) {
      const PhysRange r = ranges_[i];
      if (!r.overlaps(range)) {
        if (!out.append(r)) return false;
        continue;
      }
      if (r.start < range.start && !out.append({r.start, range.start})) return false;
      if (range.end < r.end && !out.append({range.end, r.end})) return false;
    }
    return *this = out, true;
  }

  constexpr bool contains(PhysAddr pa) const {
    for (unsigned i = 0; i < count_; ++i)
      if (ranges_[i].contains(pa)) return true;
    return false;
  }
  constexpr unsigned count() const { return count_; }

 private:
  constexpr bool append(PhysRange r) {
    if (count_ == capacity) return false;
    return ranges_[count_++] = r, true;
  }

  std::array<PhysRange, capacity> ranges_{};
  unsigned count_ = 0;
};

}  // namespace shootdown::metal::guest
