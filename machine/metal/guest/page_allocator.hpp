// SPDX-License-Identifier: MIT
// Boot memory as pages: a buddy allocator whose free lists, and whose lists of pages waiting to be freed, run
// through an array of page structures, never through the pages themselves. No locking: the machine's lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "machine/machine.hpp"

namespace shootdown::metal::guest {

using machine::PageUse;
using vmsa::PhysAddr;
using vmsa::PhysRange;

enum class PageState : std::uint8_t {
  reserved,  ///< never the allocator's: image, tables of the identity map, this array
  tail,      ///< inside a larger piece
  free,      ///< head of a free piece
  used,      ///< head of an allocated piece
  deferred,  ///< head of an allocated piece that waits to be freed
};

/// The structure of one page. `next` and `previous` are page numbers plus one; 0 ends a list.
struct Page {
  std::uint32_t next = 0;
  std::uint32_t previous = 0;
  std::uint8_t order = 0;
  PageState state = PageState::reserved;
  PageUse use = PageUse::data;
};

/// Counts of pages, by what they are for; tables are also counted since start.
struct PageCounts {
  std::uint64_t free_pages = 0;
  std::uint64_t table_pages = 0;
  std::uint64_t vmemmap_pages = 0;
  friend constexpr bool operator==(const PageCounts&, const PageCounts&) = default;
};

class PageAllocator {
 public:
  static constexpr unsigned max_order = 10;

  /// `pages` has one element for each page of [base, base + page_count pages); all start out reserved.
  void init(Page* pages, PhysAddr base, std::uint32_t page_count, unsigned page_shift) {
    pages_ = pages;
    base_ = base;
    page_count_ = page_count;
    page_shift_ = page_shift;
    for (std::uint32_t i = 0; i < page_count; ++i) pages_[i] = Page{};
  }

  /// Gives a range to the allocator, in the largest pieces that fit.
  void add(PhysRange range) {
    auto i = static_cast<std::uint32_t>((range.start - base_) >> page_shift_);
    const auto end = static_cast<std::uint32_t>((range.end - base_) >> page_shift_);
    while (i < end) {
      unsigned order = max_order;
      while (order > 0 && ((i & ((1u << order) - 1)) != 0 || end - i < 1u << order)) --order;
      for (std::uint32_t k = 1; k < 1u << order; ++k) pages_[i + k].state = PageState::tail;
      push(i, order);
      counts_.free_pages += 1u << order;
      i += 1u << order;
    }
  }

  /// 2^order pages, naturally aligned; 0 when there are none.
  PhysAddr alloc(PageUse use, unsigned order) {
    unsigned found = order;
    while (found <= max_order && heads_[found] == 0) ++found;
    if (found > max_order) return {};
    const std::uint32_t i = heads_[found] - 1;
    remove(i);
    for (; found > order; --found) push(i + (1u << (found - 1)), found - 1);
    pages_[i].state = PageState::used;
    pages_[i].order = static_cast<std::uint8_t>(order);
    pages_[i].use = use;
    counts_.free_pages -= 1u << order;
    of(use) += 1u << order;
    return address(i);
  }

  /// nullptr, or why these pages cannot be freed (a bug of the caller); then nothing has changed.
  const char* free(PhysAddr page, PageUse use, unsigned order) {
    if (const char* error = check(page, use, order, PageState::used)) return error;
    std::uint32_t i = number(page);
    of(use) -= 1u << order;
    counts_.free_pages += 1u << order;
    pages_[i].state = PageState::tail;
    while (order < max_order) {
      const std::uint32_t buddy = i ^ (1u << order);
      if (buddy + (1u << order) > page_count_) break;
      if (pages_[buddy].state != PageState::free || pages_[buddy].order != order) break;
      remove(buddy);
      pages_[buddy].state = PageState::tail;
      i &= ~(1u << order);
      ++order;
    }
    push(i, order);
    return nullptr;
  }

  /// A list of allocated pages that wait for their flush.
  struct DeferredList {
    std::uint32_t head = 0;
  };
  const char* defer(DeferredList& list, PhysAddr page, PageUse use, unsigned order) {
    if (const char* error = check(page, use, order, PageState::used)) return error;
    const std::uint32_t i = number(page);
    pages_[i].state = PageState::deferred;
    pages_[i].next = list.head;
    list.head = i + 1;
    return nullptr;
  }
  /// The next page of the list, allocated again and no longer on it; a page of 0 when it is empty.
  machine::Deferred take(DeferredList& list) {
    if (list.head == 0) return {};
    const std::uint32_t i = list.head - 1;
    list.head = pages_[i].next;
    pages_[i].state = PageState::used;
    return {address(i), pages_[i].use, pages_[i].order};
  }

  const PageCounts& counts() const { return counts_; }
  PageState state(PhysAddr page) const { return pages_[number(page)].state; }

 private:
  PhysAddr address(std::uint32_t i) const { return base_ + (std::uint64_t{i} << page_shift_); }
  std::uint32_t number(PhysAddr page) const {
    return static_cast<std::uint32_t>((page - base_) >> page_shift_);
  }
  std::uint64_t& of(PageUse use) {
    if (use == PageUse::table) return counts_.table_pages;
    return use == PageUse::vmemmap ? counts_.vmemmap_pages : other_pages_;
  }

  const char* check(PhysAddr page, PageUse use, unsigned order, PageState expected) const {
    if (page < base_ || (page - base_) >> page_shift_ >= page_count_)
      return "a page that is not boot memory is freed";
    const Page& p = pages_[number(page)];
    if (p.state == PageState::free || p.state == PageState::tail) return "a page is freed twice";
    if (p.state != expected) return "a page is freed that was not allocated";
    if (p.order != order) return "pages are freed with another order than they were allocated with";
    if (p.use != use) return "pages are freed as something else than they were allocated as";
    return nullptr;
  }

  void push(std::uint32_t i, unsigned order) {
    Page& p = pages_[i];
    p.state = PageState::free;
    p.order = static_cast<std::uint8_t>(order);
    p.previous = 0;
    p.next = heads_[order];
    if (p.next != 0) pages_[p.next - 1].previous = i + 1;
    heads_[order] = i + 1;
  }
  void remove(std::uint32_t i) {
    Page& p = pages_[i];
    if (p.previous != 0)
      pages_[p.previous - 1].next = p.next;
    else
      heads_[p.order] = p.next;
    if (p.next != 0) pages_[p.next - 1].previous = p.previous;
    p.next = p.previous = 0;
  }

  Page* pages_ = nullptr;
  PhysAddr base_;
  std::uint32_t page_count_ = 0;
  unsigned page_shift_ = 12;
  std::array<std::uint32_t, max_order + 1> heads_{};
  PageCounts counts_;
  std::uint64_t other_pages_ = 0;
};

}  // namespace shootdown::metal::guest
