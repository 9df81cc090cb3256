// SPDX-License-Identifier: MIT
// A translation regime: page size, VA size and what follows from them (levels, spans, contiguous groups).
// A Regime is a structural type: usable as a template argument by procedures and as a value by walkers.
#pragma once

#include <array>
#include <cstdint>

#include "vmsa/address.hpp"

namespace shootdown::vmsa {

/// A lookup level, -1 to 3; leaf pages are at level 3. (D8.2)
struct Level {
  int value = 3;

  friend constexpr auto operator<=>(Level, Level) = default;
  constexpr Level next() const { return Level{value + 1}; }   ///< one step towards the pages
  constexpr Level above() const { return Level{value - 1}; }  ///< one step towards the root
};

inline constexpr Level page_level{3};
inline constexpr Level pmd_level{2};  ///< Linux's PMD: one level above the pages
inline constexpr Level pud_level{1};

/// The geometry of one stage 1 translation regime of the kernel half (TTBR1).
///
/// The ten real ones come from `regime()`; `scaled()` shrinks one for exhaustive exploration and keeps its
/// shape: the same levels, the same leaf sizes at the same levels, groups and sections in proportion.
struct Regime {
  unsigned page_shift = 12;
  unsigned va_bits = 48;
  unsigned bits_per_level = 9;     ///< log2 of the entries in a full table
  unsigned contpte_shift = 4;      ///< log2 of the members of a contiguous group at level 3
  unsigned contpmd_shift = 4;      ///< the same at level 2
  unsigned section_shift = 27;     ///< log2 of the bytes of a memory section, the unit of hotplug
  unsigned struct_page_shift = 6;  ///< log2 of the bytes of vmemmap that describe one page
  unsigned range_base_shift =
      12;             ///< log2 of the unit of a range TLBI's base: a page, 64 KiB with LPA2 (I_HKYNQ)
  bool lpa2 = false;  ///< FEAT_LPA2 descriptors: 52-bit addresses with 4K or 16K pages
  bool lva = false;   ///< FEAT_LVA/LPA: 52-bit addresses with 64K pages
  unsigned wide_root_bits = 0;  ///< log2 of how much wider the root is than a table; real ones never are

  friend constexpr bool operator==(const Regime&, const Regime&) = default;

  constexpr std::uint64_t page_size() const { return std::uint64_t{1} << page_shift; }
  constexpr unsigned entries_per_table() const { return 1u << bits_per_level; }
  constexpr unsigned level_count() const {
    return (va_bits - page_shift - wide_root_bits + bits_per_level - 1) / bits_per_level;
  }
  constexpr Level root_level() const { return Level{4 - static_cast<int>(level_count())}; }
  /// A walk passes through tables at `level`.
  constexpr bool has_level(Level level) const { return level >= root_level() && level <= page_level; }

  constexpr unsigned span_shift(Level level) const {
    return page_shift + static_cast<unsigned>(3 - level.value) * bits_per_level;
  }
  /// Bytes of VA that one entry at `level` maps.
  constexpr std::uint64_t span(Level level) const { return std::uint64_t{1} << span_shift(level); }

  /// Entries in use in a table at `level`: the root table may be narrower than a page.
  constexpr unsigned entry_count(Level level) const {
    return level == root_level() ? 1u << (va_bits - span_shift(level)) : entries_per_table();
  }
  constexpr unsigned index(Level level, VirtAddr va) const {
    return static_cast<unsigned>(va.value >> span_shift(level)) & (entry_count(level) - 1);
  }

  /// Linux maps blocks at level 2 with every page size, at level 1 with 4K pages only; in the root table too,
  /// where the upper levels are folded into it.
  constexpr bool has_block(Level level) const {
    return has_level(level) && (level == pmd_level || (level == pud_level && page_shift == 12));
  }
  /// Hardware takes a block at `level` for a block; elsewhere the encoding is reserved and faults. 52-bit
  /// output addresses bring a level more: 512 GiB, 64 GiB and 4 TiB blocks. (Table D8-52)
  constexpr bool accepts_block(Level level) const {
    const Level top{page_shift == 12 ? 1 : 2};
    return has_level(level) && level < page_level && level >= (lpa2 || lva ? top.above() : top);
  }
  constexpr unsigned contiguous_count(Level level) const {
    return level == page_level ? 1u << contpte_shift : level == pmd_level ? 1u << contpmd_shift : 1u;
  }
  constexpr std::uint64_t contiguous_span(Level level) const { return span(level) * contiguous_count(level); }

  constexpr std::uint64_t section_size() const { return std::uint64_t{1} << section_shift; }
  constexpr std::uint64_t struct_page_size() const { return std::uint64_t{1} << struct_page_shift; }
  /// Bytes of vmemmap that describe one section.
  constexpr std::uint64_t section_vmemmap_size() const {
    return section_size() >> page_shift << struct_page_shift;
  }
  /// One section's vmemmap fills whole level 2 blocks: Linux maps it by blocks then, otherwise by pages.
  constexpr bool vmemmap_uses_blocks() const { return section_vmemmap_size() >= span(pmd_level); }

  /// The lowest address of the kernel half.
  constexpr VirtAddr base() const { return VirtAddr(~std::uint64_t{0} << va_bits); }
};

/// The (page size, VA bits) combinations that Linux can be built with.
inline constexpr std::array<std::array<unsigned, 2>, 10> regime_keys{
    {{12, 39}, {12, 48}, {12, 52}, {14, 36}, {14, 47}, {14, 48}, {14, 52}, {16, 42}, {16, 48}, {16, 52}}};

/// The real regime of a (page_shift, va_bits) pair of `regime_keys`.
constexpr Regime regime(unsigned page_shift, unsigned va_bits) {
  Regime r;
  r.page_shift = page_shift;
  r.va_bits = va_bits;
  r.bits_per_level = page_shift - 3;
  r.contpte_shift = page_shift == 12 ? 4 : page_shift == 14 ? 7 : 5;
  r.contpmd_shift = page_shift == 12 ? 4 : 5;
  r.section_shift = page_shift == 16 ? 29 : 27;
  r.lpa2 = va_bits == 52 && page_shift != 16;
  r.lva = va_bits == 52 && page_shift == 16;
  r.range_base_shift = r.lpa2 ? 16 : page_shift;
  return r;
}

/// All ten real regimes, in the order of `regime_keys`.
inline constexpr auto regimes = [] {
  std::array<Regime, regime_keys.size()> all;
  for (unsigned i = 0; i < all.size(); ++i) all[i] = regime(regime_keys[i][0], regime_keys[i][1]);
  return all;
}();

static_assert(regime(12, 52).root_level() == Level{-1} && regime(12, 52).entry_count(Level{-1}) == 16);
static_assert(regime(16, 42).root_level() == pmd_level && regime(16, 42).has_block(pmd_level));

/// The same tables with sections of 2^section_bits pages, so that hotplugging one takes few steps. A section's
/// vmemmap stays what it was in kind: one level 2 block with 4K pages, a few base pages (2) otherwise.
constexpr Regime with_small_sections(Regime r, unsigned section_bits) {
  const unsigned vmemmap_bits = r.vmemmap_uses_blocks() ? r.bits_per_level : 1;
  r.section_shift = r.page_shift + section_bits;
  r.struct_page_shift = r.page_shift + vmemmap_bits - section_bits;
  return r;
}

/// Shrinks a real regime for exhaustive exploration: tables of 4 entries (8 with two levels, whose root has
/// every region in it; a narrower root stays narrower), sections of 2^section_bits pages or of one whole table
/// of them, contiguous groups of two; the unit of a range TLBI's base becomes two pages where it was more
/// than one.
constexpr Regime scaled(Regime real, unsigned section_bits = 0) {
  const unsigned levels = real.level_count();
  const unsigned bits = levels == 2 ? 3 : 2;
  const unsigned root_bits = real.va_bits - real.page_shift - (levels - 1) * real.bits_per_level;
  Regime r = real;
  r.bits_per_level = bits;
  r.va_bits = real.page_shift + (levels - 1) * bits + (root_bits < bits ? root_bits : bits);
  r.contpte_shift = 1;
  r.contpmd_shift = 1;
  r.range_base_shift = real.page_shift + (real.range_base_shift > real.page_shift ? 1 : 0);
  if (section_bits == 0) section_bits = bits;
  r.section_shift = real.page_shift + section_bits;
  r.struct_page_shift = real.page_shift + (real.vmemmap_uses_blocks() ? bits : 1) - section_bits;
  return r;
}

static_assert(scaled(regime(12, 48)).vmemmap_uses_blocks() && !scaled(regime(16, 48)).vmemmap_uses_blocks());

/// Shrinks a real regime so far, and no further, that hotplugged memory still has a first, a last and something in
/// between at every level: tables and contiguous groups of four. A root of up to three levels is wider, for every
/// region lies in it. One page of vmemmap describes 2^`described_bits` pages of memory.
constexpr Regime scaled_for_hotplug(Regime real, unsigned described_bits) {
  constexpr unsigned bits = 2;
  const unsigned levels = real.level_count();
  const unsigned root_bits = real.va_bits - real.page_shift - (levels - 1) * real.bits_per_level;
  Regime r = scaled(real, 1);
  r.bits_per_level = r.contpte_shift = r.contpmd_shift = bits;
  r.wide_root_bits = levels == 2 ? 2 : levels == 3 ? 1 : 0;
  const unsigned widest = bits + r.wide_root_bits;
  r.va_bits = real.page_shift + (levels - 1) * bits + (root_bits < widest ? root_bits : widest);
  // A section's vmemmap is one level 2 block with 4K pages, two base pages otherwise.
  r.struct_page_shift = real.page_shift - described_bits;
  r.section_shift = real.page_shift + described_bits + (real.vmemmap_uses_blocks() ? bits : 1);
  return r;
}

static_assert(scaled_for_hotplug(regime(12, 48), 2).vmemmap_uses_blocks());
static_assert(!scaled_for_hotplug(regime(14, 47), 0).vmemmap_uses_blocks());

}  // namespace shootdown::vmsa
