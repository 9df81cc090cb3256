// SPDX-License-Identifier: MIT
// Reserving and clearing the arena: the only part of the timed machine that asks the host for memory pages.
#include "machine/timed/arena.hpp"

#include <sys/mman.h>

#include <cstring>
#include <limits>
#include <new>
#include <utility>

namespace shootdown::timed {

namespace {

/// Huge pages of the host spare most of its page faults; a multiple of their size lets the whole arena use them.
constexpr std::size_t host_huge_page = std::size_t{2} << 20;

}  // namespace

Arena::Arena(Bytes capacity, unsigned page_shift)
    : page_shift_(page_shift), mapped_bytes_((capacity.value + host_huge_page - 1) & ~(host_huge_page - 1)) {
  if (mapped_bytes_ >> page_shift > std::numeric_limits<std::uint32_t>::max()) throw std::bad_alloc();
  end_ = static_cast<std::uint32_t>(mapped_bytes_ >> page_shift);
  void* mapping = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  // Advice, both: they may fail. All of it will be used, and at once is the cheapest time to get it.
  madvise(mapping, mapped_bytes_, MADV_HUGEPAGE);
  madvise(mapping, mapped_bytes_, MADV_POPULATE_WRITE);
  memory_ = static_cast<unsigned char*>(mapping);
}

Arena::~Arena() { munmap(memory_, mapped_bytes_); }

void Arena::clear(vmsa::PhysAddr table) {
  if (std::exchange(fresh_, {}) == table) return;
  std::memset(memory_ + table.value, 0, std::size_t{1} << page_shift_);
}

}  // namespace shootdown::timed
