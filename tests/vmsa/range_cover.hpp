// SPDX-License-Identifier: MIT
// The properties that cutting a range into TLBI operations must have, as functions of what was asked and what was
// issued. Positive tests run them over for_each_tlbi(); tests/negative runs them over the bugs of the past.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/vmsa/operand.hpp"
#include "tests/vmsa/show.hpp"
#include "vmsa/tlbi_range.hpp"

namespace shootdown::vmsa {

/// An instruction as an observer sees it.
struct Issued {
  TlbiOp op;
  std::uint64_t xt;
};

/// What for_each_tlbi() makes of a request.
inline std::vector<Issued> plan(const Regime& r, const FlushRequest& q, bool has_range_tlbi) {
  std::vector<Issued> issued;
  for_each_tlbi(r, q, has_range_tlbi, [&](const Tlbi& t) { issued.push_back({t.op, tlbi_operand(r, t)}); });
  return issued;
}

inline std::string show(const FlushRequest& q) {
  return "[" + show(q.range.start) + ", " + show(q.range.end) + ") stride " + std::to_string(q.stride);
}

/// Empty when the pieces are exactly the whole, each byte once; otherwise what is wrong. Counted in offsets from
/// its start, so that the top of the address space is no special case.
inline std::string tiling_fault(const std::vector<VirtRange>& pieces, VirtRange whole) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> offsets;
  for (const VirtRange& piece : pieces) offsets.emplace_back(piece.start - whole.start, piece.size());
  std::sort(offsets.begin(), offsets.end());
  std::uint64_t covered = 0;
  for (const auto& [offset, size] : offsets) {
    if (offset > covered && covered < whole.size()) break;
    if (offset != covered) return "overlap or excess at " + show(whole.start + offset);
    covered += size;
  }
  if (covered < whole.size()) return "missed at " + show(whole.start + covered);
  return covered > whole.size() ? "excess beyond " + show(whole.end) : "";
}

/// Empty when the instructions cover the request, rounded out to its stride, each byte once; a single-address
/// operation covers one stride. The operands are read by the second reading of the manual.
inline std::string cover_fault(const Regime& r, const FlushRequest& q, const std::vector<Issued>& issued) {
  const std::uint64_t stride = q.stride != 0 ? q.stride : r.page_size();
  const VirtAddr start(q.range.start.value / stride * stride);
  const std::uint64_t strides = q.range.empty() ? 0 : (q.range.end - 1 - start) / stride + 1;
  std::vector<VirtRange> pieces;
  for (const Issued& i : issued) {
    const reference::Operand o = reference::read_operand(i.op.range, r.page_size(), r.lpa2, i.xt);
    if (o.ttl != (q.ttl ? static_cast<std::uint64_t>(q.ttl->value) : 0)) return "another hint";
    if (o.asid != (i.op.by_asid() ? q.asid : 0)) return "another ASID";
    TlbiOp op = i.op;
    op.range = q.op.range;
    if (op != q.op) return "another operation";
    pieces.push_back({VirtAddr(o.start), VirtAddr(o.start) + (i.op.range ? o.bytes : stride)});
  }
  return tiling_fault(pieces, {start, start + strides * stride});
}

/// How many operations a range needs, from the digits of its half in base 32 (FEAT_TLBIRANGE, at most 2^21 pages).
inline unsigned digit_count(std::uint64_t pages) {
  unsigned count = pages % 2;
  std::uint64_t half = pages / 2;
  for (unsigned scale = 0; scale < 3; ++scale, half /= 32) count += half % 32 != 0;
  return count + (half != 0);  // the top digit goes to 32
}

/// The first leaf of `level` in the request that no instruction is obliged to remove.
inline std::optional<VirtAddr> first_survivor(const Regime& r, const FlushRequest& q, Level level,
                                              const std::vector<Issued>& issued) {
  for (VirtAddr va = q.range.start.align_down(r.span(level)); va < q.range.end; va += r.span(level)) {
    const CachedEntry leaf{.level = level, .va = va, .asid = q.asid};
    const bool removed = std::any_of(issued.begin(), issued.end(), [&](const Issued& i) {
      return tlbi_miss(r, decode_tlbi(r, i.op, i.xt), leaf) == Miss::none;
    });
    if (!removed) return va;
  }
  return std::nullopt;
}

}  // namespace shootdown::vmsa
