// SPDX-License-Identifier: MIT
// How a range of addresses becomes TLBI operations: range operations where the CPU has them, single ones
// where it has not, everything where that is cheaper. The policy is Linux's (arch/arm64, v7.2).
#pragma once

#include <cstdint>

#include "vmsa/tlbi.hpp"

namespace shootdown::vmsa {

/// The largest range that range operations are used for, in pages.
inline constexpr std::uint64_t max_range_pages = std::uint64_t{1} << 21;

/// What a caller wants removed.
struct FlushRequest {
  VirtRange range;
  std::uint64_t stride = 0;  ///< bytes between leaves; 0 means one page
  TlbiOp op = vaale1is;      ///< the single-address form; `range` is chosen here
  std::optional<Level> ttl;
  std::uint16_t asid = 0;
};

/// Linux's decision between flushing a range and flushing everything. `has_range_tlbi` is FEAT_TLBIRANGE.
constexpr bool flush_everything(const Regime& r, const FlushRequest& q, bool has_range_tlbi) {
  const std::uint64_t stride = q.stride ? q.stride : r.page_size();
  const std::uint64_t bytes = q.range.end.align_up(stride) - q.range.start.align_down(stride);
  const std::uint64_t pages = bytes >> r.page_shift;
  if (has_range_tlbi) return pages > max_range_pages;
  return pages >= r.entries_per_table() * (stride >> r.page_shift);
}

/// Calls `emit(Tlbi)` for each operation that together cover exactly the request's range, rounded out to
/// its stride. At most 20 with range operations.
template <typename Emit>
constexpr void for_each_tlbi(const Regime& r, const FlushRequest& q, bool has_range_tlbi, Emit&& emit) {
  const std::uint64_t stride = q.stride ? q.stride : r.page_size();
  VirtAddr va = q.range.start.align_down(stride);
  std::uint64_t pages = (q.range.end.align_up(stride) - va) >> r.page_shift;
  TlbiOp range_op = q.op;
  range_op.range = true;

  for (int scale = 3; pages > 0;) {
    // A range base is a multiple of 64 KiB under FEAT_LPA2 (R_XKMMX).
    const bool single = !has_range_tlbi || pages == 1 || (r.lpa2 && !va.is_aligned(0x10000));
    if (single) {
      emit(Tlbi{.op = q.op, .va = va, .ttl = q.ttl, .asid = q.asid, .page_shift = r.page_shift});
      va += stride;
      pages -= stride >> r.page_shift;
      continue;
    }
    const unsigned unit_shift = 5 * static_cast<unsigned>(scale) + 1;
    std::uint64_t units = pages >> unit_shift;
    if (units > 32) units = 32;
    if (units > 0) {
      const std::uint64_t covered = units << unit_shift;
      emit(Tlbi{.op = range_op, .va = va, .pages = covered, .ttl = q.ttl, .asid = q.asid,
                .page_shift = r.page_shift});
      va += covered << r.page_shift;
      pages -= covered;
    }
    if (scale > 0) --scale;
  }
}

/// How many operations `for_each_tlbi` emits.
constexpr unsigned tlbi_count(const Regime& r, const FlushRequest& q, bool has_range_tlbi) {
  unsigned count = 0;
  for_each_tlbi(r, q, has_range_tlbi, [&](const Tlbi&) { ++count; });
  return count;
}

}  // namespace shootdown::vmsa
