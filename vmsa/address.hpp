// SPDX-License-Identifier: MIT
// Virtual and physical addresses as types that cannot pass for each other.
// Arithmetic only; what an address means is decided elsewhere (regime.hpp, layout.hpp).
#pragma once

#include <compare>
#include <cstdint>

namespace shootdown::vmsa {

/// A 64-bit address in one address space. Wraps like the hardware does: the end of the kernel half is 0.
template <typename Space>
struct Address {
  std::uint64_t value = 0;

  constexpr Address() = default;
  constexpr explicit Address(std::uint64_t v) : value(v) {}

  friend constexpr auto operator<=>(Address, Address) = default;
  friend constexpr Address operator+(Address a, std::uint64_t bytes) { return Address(a.value + bytes); }
  friend constexpr Address operator-(Address a, std::uint64_t bytes) { return Address(a.value - bytes); }
  friend constexpr std::uint64_t operator-(Address a, Address b) { return a.value - b.value; }
  constexpr Address& operator+=(std::uint64_t bytes) { return *this = *this + bytes; }

  /// Alignments are powers of two, in bytes.
  constexpr Address align_down(std::uint64_t alignment) const { return Address(value & ~(alignment - 1)); }
  constexpr Address align_up(std::uint64_t alignment) const {
    return Address((value + alignment - 1) & ~(alignment - 1));
  }
  constexpr bool is_aligned(std::uint64_t alignment) const { return (value & (alignment - 1)) == 0; }
};

using VirtAddr = Address<struct VirtualSpace>;
using PhysAddr = Address<struct PhysicalSpace>;

/// The half-open range [start, end); an end of 0 is the top of the address space.
template <typename Addr>
struct Range {
  Addr start;
  Addr end;

  friend constexpr bool operator==(Range, Range) = default;
  constexpr std::uint64_t size() const { return end - start; }
  constexpr bool empty() const { return start == end; }
  constexpr bool contains(Addr a) const { return a - start < size(); }
  constexpr bool overlaps(Range other) const {
    return !empty() && !other.empty() && (contains(other.start) || other.contains(start));
  }
};

using VirtRange = Range<VirtAddr>;
using PhysRange = Range<PhysAddr>;

}  // namespace shootdown::vmsa
