// SPDX-License-Identifier: MIT
// May a valid descriptor be replaced by another without going through an invalid one? A pure function of
// (old, new, features): R_WHZWS, with what FEAT_BBM relaxes.
#pragma once

#include <cstdint>

#include "vmsa/descriptor.hpp"

namespace shootdown::vmsa {

/// FEAT_BBM as software may rely on it.
enum class BbmLevel : std::uint8_t {
  level0,           ///< break-before-make always
  level1,           ///< contiguous-bit changes may be made in place, a conflict abort is possible
  level2,           ///< block size changes too, a conflict abort is possible
  level2_no_abort,  ///< the same on a CPU that never aborts (Linux's allow-list), or FEAT_BBM level 3
};

/// Why a replacement needs break-before-make.
enum class Conflict : std::uint8_t {
  none,
  memory_type,     ///< memory type, cacheability or shareability differs
  output_address,  ///< another output address, and one side is writable or the contents differ
  block_size,      ///< table against block, or contiguous against single
  global,          ///< a global entry replaces a non-global one
};

/// A descriptor in its place; `same_contents` says that the bytes at the old and new output address are
/// equal, `may_abort` whether a conflict abort may be taken and handled.
struct Replacement {
  Level level;
  Descriptor from;
  Descriptor to;
  bool same_contents = false;
  bool may_abort = false;
};

/// The first rule that forbids writing `to` over `from` in place; `none` when nothing does.
/// Either side invalid (or with the access flag clear, which is never cached) is always allowed.
constexpr Conflict break_before_make_conflict(const Regime& r, const Replacement& c, BbmLevel bbm) {
  if (!c.from.valid() || !c.to.valid() || c.from == c.to) return Conflict::none;
  const bool size_may_change =
      bbm == BbmLevel::level2_no_abort || (bbm == BbmLevel::level2 && c.may_abort);
  const bool contiguous_may_change = size_may_change || (bbm != BbmLevel::level0 && c.may_abort);

  const bool from_table = c.from.is_table(c.level);
  const bool to_table = c.to.is_table(c.level);
  if (from_table != to_table) return size_may_change ? Conflict::none : Conflict::block_size;
  const bool moved = output_address(r, c.level, c.from) != output_address(r, c.level, c.to);
  if (from_table) return moved ? Conflict::output_address : Conflict::none;

  const Attributes a = attributes(r, c.from);
  const Attributes b = attributes(r, c.to);
  if (a.memory_index != b.memory_index || a.shareability != b.shareability) return Conflict::memory_type;
  if (moved && (is_writable(c.from) || is_writable(c.to) || !c.same_contents)) return Conflict::output_address;
  if (a.contiguous != b.contiguous && !contiguous_may_change) return Conflict::block_size;
  if (a.not_global && !b.not_global) return Conflict::global;
  return Conflict::none;
}

}  // namespace shootdown::vmsa
