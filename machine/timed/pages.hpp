// SPDX-License-Identifier: MIT
// Pages that are no tables, as addresses without contents, and the list of pages that wait for a flush.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <vector>

#include "machine/machine.hpp"
#include "machine/timed/units.hpp"

namespace shootdown::timed {

/// Hands out naturally aligned blocks of pages far above the arena, and takes them back.
class PagePool {
 public:
  explicit PagePool(unsigned page_shift) : page_shift_(page_shift) {}

  vmsa::PhysAddr allocate(unsigned order) {
    assert(order < free_.size());
    if (!free_[order].empty()) {
      const vmsa::PhysAddr page = free_[order].back();
      free_[order].pop_back();
      return page;
    }
    const std::uint64_t bytes = std::uint64_t{1} << (page_shift_ + order);
    const vmsa::PhysAddr page = next_.align_up(bytes);
    next_ = page + bytes;
    return page;
  }
  void release(vmsa::PhysAddr page, unsigned order) {
    assert(owns(page) && order < free_.size());
    free_[order].push_back(page);
  }
  bool owns(vmsa::PhysAddr page) const { return page >= base; }
  Bytes host_bytes() const {
    Bytes sum;
    for (const auto& list : free_) sum = sum + Bytes(list.capacity() * sizeof(list[0]));
    return sum;
  }

 private:
  static constexpr vmsa::PhysAddr base{std::uint64_t{1} << 46};
  unsigned page_shift_;
  vmsa::PhysAddr next_ = base;
  std::array<std::vector<vmsa::PhysAddr>, 32> free_;
};

/// Pages that may be freed once the flush is complete: eight bytes each, beside the pages and never in them.
class DeferredList {
 public:
  using Deferred = machine::Deferred;

  void push(const Deferred& d) {
    assert(d.order < 32 && (d.page.value & 0xfff) == 0);
    words_.push_back(d.page.value | static_cast<std::uint64_t>(d.use) << 5 | d.order);
  }
  Deferred pop() {
    if (words_.empty()) return {};
    const std::uint64_t word = words_.back();
    words_.pop_back();
    return {vmsa::PhysAddr(word & ~std::uint64_t{0xfff}), static_cast<machine::PageUse>(word >> 5 & 0x7f),
            static_cast<unsigned>(word & 31)};
  }
  Bytes host_bytes() const { return Bytes(words_.capacity() * sizeof(words_[0])); }

 private:
  std::vector<std::uint64_t> words_;
};

}  // namespace shootdown::timed
