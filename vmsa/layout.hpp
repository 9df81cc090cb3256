// SPDX-License-Identifier: MIT
// Where Linux puts the linear map, vmemmap and vmalloc in the kernel half: the 2019 layout (v5.4) and
// today's (v7.2). Which table levels two regions share follows from here.
#pragma once

#include <cstdint>
#include <optional>

#include "vmsa/address.hpp"
#include "vmsa/regime.hpp"

namespace shootdown::vmsa {

enum class LayoutAge : std::uint8_t { today, old };

/// The regions of the kernel half that hot-remove and its neighbours touch.
struct Layout {
  VirtRange linear;
  VirtRange vmemmap;
  VirtAddr vmalloc_end;  ///< vmalloc lies below; its start does not matter here

  friend constexpr bool operator==(const Layout&, const Layout&) = default;
};

/// The 2019 layout predates FEAT_LPA2: no 52-bit VA with 4K or 16K pages.
constexpr bool has_layout(const Regime& r, LayoutAge age) { return age == LayoutAge::today || !r.lpa2; }

/// Linux's VA_BITS_MIN: what a 52-bit kernel falls back to on hardware without 52-bit addresses.
constexpr unsigned va_bits_min(const Regime& r) {
  return r.va_bits <= 48 ? r.va_bits : r.page_shift == 14 ? 47 : 48;
}

/// The layout of a real regime. The linear map ends where the upper half of the *smallest* VA size begins, so
/// that a kernel that falls back finds everything else where it was linked.
constexpr Layout layout(const Regime& r, LayoutAge age) {
  const VirtRange linear{r.base(), VirtAddr(~std::uint64_t{0} << (va_bits_min(r) - 1))};
  const std::uint64_t vmemmap_size = linear.size() >> r.page_shift << r.struct_page_shift;
  if (age == LayoutAge::today) {
    const VirtAddr end(~std::uint64_t{0} << 30);
    const VirtAddr start = end - vmemmap_size;
    return {linear, {start, end}, start - (std::uint64_t{8} << 20)};
  }
  // v5.4 kept a PUD's span (of the root, where the PUD is folded) between vmalloc and vmemmap.
  const Level pud = r.has_level(pud_level) ? pud_level : r.root_level();
  const VirtAddr start = VirtAddr(0) - vmemmap_size - (std::uint64_t{2} << 20);
  return {linear, {start, start + vmemmap_size}, VirtAddr(0) - r.span(pud) - vmemmap_size - 0x10000};
}

/// The deepest level at which the end of vmalloc and the start of vmemmap lie under one entry, so that the
/// table below that entry serves both; nothing when not even the root entry is shared.
constexpr std::optional<Level> deepest_shared_level(const Regime& r, const Layout& l) {
  std::optional<Level> shared;
  for (Level level = r.root_level(); level <= page_level; level = level.next()) {
    const VirtAddr last_vmalloc = l.vmalloc_end - 1;
    if (last_vmalloc.align_down(r.span(level)) != l.vmemmap.start.align_down(r.span(level))) break;
    shared = level;
  }
  return shared;
}

/// The rule of hot-remove V7 (2019), judged once at boot: when vmalloc and vmemmap share a top-level entry,
/// empty vmemmap tables are never freed.
constexpr bool vmalloc_shares_top_entry(const Regime& r, const Layout& l) {
  return deepest_shared_level(r, l).has_value();
}

}  // namespace shootdown::vmsa
