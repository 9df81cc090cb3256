// SPDX-License-Identifier: MIT
// One machine operation that a procedure has asked for and the model has not yet answered.
#pragma once

#include <cstdint>
#include <vector>

#include "machine/machine.hpp"

namespace shootdown::model {

using machine::Descriptor;
using machine::PhysAddr;
using machine::PhysRange;
using machine::VirtAddr;

enum class OpKind : std::uint8_t {
  read,
  write,
  cmpxchg,
  dsb,
  isb,
  tlbi,
  load,
  store,
  alloc,
  clear_page,
  free,
  defer,
  take_deferred,
  release_range,
  memblock_add,
  memblock_remove,
  pfn_valid,
  lock,
  unlock,
  lock_shared,
  unlock_shared,
  warn,
  unexpected_fault,  ///< an access that the scenario holds to be legal faulted
  choose,            ///< any number below a
  take_released,     ///< any page that was released; waits until there is one
  data_store,        ///< a plain store to a page that is no table
  done,              ///< the procedure has returned
};

/// Operations that change nothing that CPUs share, whatever they answer.
constexpr bool only_asks(OpKind kind) {
  switch (kind) {
    case OpKind::read:
    case OpKind::load:
    case OpKind::store:
    case OpKind::pfn_valid:
    case OpKind::choose:
    case OpKind::done: return true;
    default: return false;
  }
}

/// Where in the code an operation stands: the functions entered (outermost first) and the line of the call.
struct Site {
  std::vector<const char*> functions;
  unsigned line = 0;

  const char* function() const { return functions.empty() ? "?" : functions.back(); }
};

/// `a`, `b` and `c` are addresses, values or enumerators by kind.
struct Op {
  OpKind kind = OpKind::done;
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  std::uint64_t c = 0;
  vmsa::Tlbi tlbi{};
  const char* text = nullptr;  ///< of a warning

  friend bool operator==(const Op&, const Op&) = default;
};

/// Responses that do not fit the plain word.
inline constexpr std::uint64_t response_fault = ~std::uint64_t{0};

/// A deferred page in one word: pages are aligned, so use and order fit below.
constexpr std::uint64_t pack_page(PhysAddr page, machine::PageUse use, unsigned order) {
  return page.value | static_cast<std::uint64_t>(use) << 8 | order;
}
constexpr machine::Exemplar::Deferred unpack_page(std::uint64_t word) {
  return {PhysAddr(word & ~std::uint64_t{0xfff}), static_cast<machine::PageUse>(word >> 8 & 0xf),
          static_cast<unsigned>(word & 0xff)};
}

}  // namespace shootdown::model
