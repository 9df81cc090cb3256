// SPDX-License-Identifier: MIT
// Where physical memory and its struct pages appear in the kernel half. Arithmetic only.
#pragma once

#include "vmsa/descriptor.hpp"
#include "vmsa/layout.hpp"

namespace shootdown::mm {

using vmsa::Descriptor;
using vmsa::Level;
using vmsa::PhysAddr;
using vmsa::PhysRange;
using vmsa::Regime;
using vmsa::VirtAddr;
using vmsa::VirtRange;

/// The kernel's address layout and the physical address at the start of its linear map (memstart_addr).
struct MemoryMap {
  vmsa::Layout layout;
  PhysAddr memstart;

  constexpr VirtAddr phys_to_virt(PhysAddr pa) const { return layout.linear.start + (pa - memstart); }
  constexpr VirtRange linear(PhysRange range) const {
    return {phys_to_virt(range.start), phys_to_virt(range.end)};
  }
  /// The struct pages of a range of memory.
  constexpr VirtRange vmemmap(const Regime& r, PhysRange range) const {
    auto page = [&](PhysAddr pa) {
      return layout.vmemmap.start + ((pa - memstart) >> r.page_shift << r.struct_page_shift);
    };
    return {page(range.start), page(range.end)};
  }
};

/// The part of `range` from `pa` on that lies in one section. The ends of a range may lie inside of sections:
/// ZONE_DEVICE adds and removes sub-sections.
constexpr PhysRange section_part(const Regime& r, PhysRange range, PhysAddr pa) {
  const PhysAddr section_end = pa.align_down(r.section_size()) + r.section_size();
  return {pa, section_end < range.end ? section_end : range.end};
}

/// The first page of a range. Ranges are made of whole pages, and compilers cannot know it.
constexpr VirtRange first_page(const Regime& r, VirtRange range) {
  if (!range.start.is_aligned(r.page_size())) __builtin_unreachable();
  return {range.start, range.start + r.page_size()};
}

/// The end of the entry at `level` that holds `va`, or the end of the range if that comes first. Ranges are made of
/// whole pages.
constexpr VirtAddr entry_end(const Regime& r, Level level, VirtAddr va, VirtAddr end) {
  if (level == vmsa::page_level) return va + r.page_size();
  const VirtAddr next = va.align_down(r.span(level)) + r.span(level);
  return next - 1 < end - 1 ? next : end;  // an end of 0 is the top of the address space
}

}  // namespace shootdown::mm
