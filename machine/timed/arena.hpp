// SPDX-License-Identifier: MIT
// The physical memory that holds translation tables: one mapping of the host, so that a physical address
// becomes a host pointer with one addition. Only tables have contents; other pages are addresses and no more.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "machine/timed/units.hpp"
#include "vmsa/address.hpp"

namespace shootdown::timed {

/// Table pages at physical addresses [page size, capacity). Freed ones are used again, last freed first, as a
/// per-CPU page list would.
class Arena {
 public:
  /// Takes `capacity` for tables from the host. Throws std::bad_alloc if it refuses even the addresses.
  Arena(Bytes capacity, unsigned page_shift);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// A table page with whatever it last contained; address 0 when the capacity is used up.
  vmsa::PhysAddr allocate() {
    if (!free_.empty()) {
      const std::uint32_t page = free_.back();
      free_.pop_back();
      return vmsa::PhysAddr(std::uint64_t{page} << page_shift_);
    }
    if (next_ >= end_) return {};
    fresh_ = vmsa::PhysAddr(std::uint64_t{next_++} << page_shift_);
    return fresh_;
  }
  void release(vmsa::PhysAddr table) {
    assert(table.value >> page_shift_ != 0 && table.value >> page_shift_ < next_);
    free_.push_back(static_cast<std::uint32_t>(table.value >> page_shift_));
  }

  /// Not std::uint64_t: a type of its own tells the compiler that descriptors are no counters, so that loops over
  /// descriptors keep their counters in registers.
  using Word = unsigned long long;
  static_assert(sizeof(Word) == 8 && !std::is_same_v<Word, std::uint64_t>);
  /// The word at a physical address inside the arena.
  Word* word(vmsa::PhysAddr pa) const { return reinterpret_cast<Word*>(memory_ + pa.value); }
  /// Sets a table page to zero. The host has just done so for one that was never used before.
  void clear(vmsa::PhysAddr table);

  std::uint64_t tables_in_use() const { return next_ - 1 - free_.size(); }
  /// What tables have needed so far.
  Bytes host_bytes() const {
    return Bytes((std::uint64_t{next_} << page_shift_) + free_.capacity() * sizeof(free_[0]));
  }

 private:
  unsigned page_shift_;
  std::uint32_t end_;
  std::uint32_t next_ = 1;  // page 0 stands for "no page"
  vmsa::PhysAddr fresh_;    // handed out last, never used before; 0 for none
  std::size_t mapped_bytes_;
  unsigned char* memory_;
  std::vector<std::uint32_t> free_;
};

}  // namespace shootdown::timed
