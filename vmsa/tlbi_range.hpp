// SPDX-License-Identifier: MIT
// How a range of addresses becomes TLBI operations: range operations where the CPU has them, single ones
// where it has not, everything where that is cheaper. The policy is Linux's (arch/arm64, v7.2).
#pragma once

#include <cstdint>

#include "vmsa/tlbi.hpp"

namespace shootdown::vmsa {

/// The largest range that Linux uses range operations for, in pages: one operation of SCALE 3, NUM 31.
inline constexpr std::uint64_t max_range_pages = std::uint64_t{1} << 21;
static_assert(RangeFields{.scale = 3, .num = 31}.pages() == max_range_pages);

/// What a caller wants removed.
struct FlushRequest {
  VirtRange range{};
  std::uint64_t stride = 0;  ///< bytes between leaves, 0 meaning one page; never a contiguous group (R_LQLSD)
  TlbiOp op = vaale1is;      ///< by VA; whether it becomes the range form is decided here
  std::optional<Level> ttl{};
  std::uint16_t asid = 0;
};

/// The pages of a request, its ends rounded out to the stride. Of one page at an aligned address a compiler sees that
/// it is one, and leaves out everything else.
constexpr std::uint64_t rounded_pages(const Regime& r, const FlushRequest& q) {
  const std::uint64_t stride = q.stride ? q.stride : r.page_size();
  const std::uint64_t before = q.range.start.value & (stride - 1);
  return ((q.range.size() + before + stride - 1) & ~(stride - 1)) >> r.page_shift;
}

/// Linux's decision between flushing a range and flushing everything. `has_range_tlbi` is FEAT_TLBIRANGE.
constexpr bool flush_everything(const Regime& r, const FlushRequest& q, bool has_range_tlbi) {
  const std::uint64_t stride = q.stride ? q.stride : r.page_size();
  const std::uint64_t pages = rounded_pages(r, q);
  if (has_range_tlbi) return pages > max_range_pages;
  return pages >= r.entries_per_table() * (stride >> r.page_shift);  // MAX_DVM_OPS strides
}

namespace detail {
/// The loop of `for_each_tlbi`: `pages` from the address of `t` on.
template <typename Emit>
constexpr void emit_range(const Regime& r, Tlbi t, std::uint64_t pages, std::uint64_t stride,
                          bool has_range_tlbi, Emit& emit) {
  for (unsigned scale = 3; pages > 0;) {
    const std::uint64_t base_unit = std::uint64_t{1} << r.range_base_shift;
    t.op.range = has_range_tlbi && pages > 1 && t.va.is_aligned(base_unit);
    if (!t.op.range) {
      t.pages = 1;
      emit(t);
      t.va += stride;
      pages -= stride >> r.page_shift;
      continue;
    }
    // NUM says 1 to 32 units: all 32 of them, or the largest range would come out empty (e3ba51ab24fd).
    const unsigned unit_shift = 5 * scale + 1;
    const std::uint64_t units = pages >> unit_shift;
    if (units == 0) {
      --scale;  // not below 0: there a unit is two pages, and one page is no range
      continue;
    }
    t.pages = (units < 32 ? units : 32) << unit_shift;
    emit(t);
    t.va += t.pages << r.page_shift;
    pages -= t.pages;
  }
}
}  // namespace detail

/// Calls `emit(Tlbi)` for each operation that together cover exactly the request's range, rounded out to
/// its stride (01d57485fcdb).
///
/// With range operations at most 20 up to `max_range_pages`: one of each of four scales, one last page, and with
/// LPA2 up to 15 pages before the first address that a range can start from. Beyond, one more for each 2^21.
///
/// One page, by far the most frequent request, is inlined into its caller: a timed run makes 10^8 of them.
template <typename Emit>
[[gnu::always_inline]] constexpr void for_each_tlbi(const Regime& r, const FlushRequest& q,
                                                    bool has_range_tlbi, Emit&& emit) {
  const std::uint64_t stride = q.stride ? q.stride : r.page_size();
  const std::uint64_t pages = rounded_pages(r, q);
  Tlbi t{.op = q.op,
         .va = q.range.start.align_down(stride),
         .ttl = q.ttl,
         .asid = q.asid,
         .page_shift = r.page_shift};
  t.op.range = false;
  if (pages == 1) return emit(t);
  detail::emit_range(r, t, pages, stride, has_range_tlbi, emit);
}

/// How many operations `for_each_tlbi` emits.
constexpr unsigned tlbi_count(const Regime& r, const FlushRequest& q, bool has_range_tlbi) {
  unsigned count = 0;
  for_each_tlbi(r, q, has_range_tlbi, [&](const Tlbi&) { ++count; });
  return count;
}

}  // namespace shootdown::vmsa
