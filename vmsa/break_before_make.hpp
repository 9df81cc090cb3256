// SPDX-License-Identifier: MIT
// May a valid descriptor be replaced by another without going through an invalid one? A pure function of
// (old, new, features): R_WHZWS, with what FEAT_BBM relaxes. What a TLB may still hold is not known here.
#pragma once

#include <cstdint>

#include "vmsa/descriptor.hpp"

namespace shootdown::vmsa {

/// FEAT_BBM as software may rely on it.
enum class BbmLevel : std::uint8_t {
  level0,           ///< break-before-make always
  level1,           ///< contiguous-bit changes may be made in place, a conflict abort is possible (R_FCPSG)
  level2,           ///< block size changes too, a conflict abort is possible (R_KFLJB, I_HYQMB)
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

/// Linux's MAIR_EL1 (since v5.10): Normal, Normal Tagged, Normal Non-cacheable, Device-nGnRnE, Device-nGnRE.
inline constexpr std::uint64_t linux_mair = 0x04'00'44'f0'ff;

/// A descriptor in its place. Permissions may differ freely, and both are judged as if the access flag were
/// set: hardware may set it at any time.
struct Replacement {
  Level level{};
  Descriptor from{};
  Descriptor to{};
  bool same_contents = false;  ///< the bytes at the old and at the new output address are equal
  bool may_abort = false;      ///< a TLB conflict abort may be taken and is handled
  std::uint64_t mair = linux_mair;
};

namespace detail {
/// Equal as memory types go: Normal and Normal Tagged differ in tag checking only.
constexpr bool same_memory_type(std::uint64_t mair, unsigned a, unsigned b) {
  constexpr std::uint64_t normal = 0xff, normal_tagged = 0xf0;
  const std::uint64_t x = mair >> 8 * a & 0xff, y = mair >> 8 * b & 0xff;
  auto is_normal = [](std::uint64_t type) { return type == normal || type == normal_tagged; };
  return a == b || x == y || (is_normal(x) && is_normal(y));
}
}  // namespace detail

/// The first rule that forbids writing `to` over `from` in place; `none` when nothing does, or when one of them
/// is no valid descriptor at its level.
///
/// Judges the two descriptors alone (R_PVTFW): where a block and a table replace each other, whether the leaves
/// below the table agree with the block is for the caller to ask, leaf by leaf. A table that gives way to another
/// counts as moved, for its leaves may differ.
constexpr Conflict break_before_make_conflict(const Regime& r, const Replacement& c, BbmLevel bbm) {
  const DescriptorKind from = c.from.kind(r, c.level), to = c.to.kind(r, c.level);
  if (from == DescriptorKind::invalid || to == DescriptorKind::invalid) return Conflict::none;
  const bool size_may_change = bbm == BbmLevel::level2_no_abort || (bbm == BbmLevel::level2 && c.may_abort);
  const bool contiguous_may_change = size_may_change || (bbm == BbmLevel::level1 && c.may_abort);

  if (from != to) return size_may_change ? Conflict::none : Conflict::block_size;
  const bool moved = output_address(r, c.level, c.from) != output_address(r, c.level, c.to);
  if (from == DescriptorKind::table) return moved ? Conflict::output_address : Conflict::none;

  const Attributes a = attributes(r, c.from);
  const Attributes b = attributes(r, c.to);
  if (a.shareability != b.shareability || !detail::same_memory_type(c.mair, a.memory_index, b.memory_index))
    return Conflict::memory_type;
  if (moved && (is_writable(c.from) || is_writable(c.to) || !c.same_contents))
    return Conflict::output_address;
  if (a.contiguous != b.contiguous && !contiguous_may_change) return Conflict::block_size;
  if (a.not_global && !b.not_global) return Conflict::global;
  return Conflict::none;
}

}  // namespace shootdown::vmsa
