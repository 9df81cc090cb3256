// SPDX-License-Identifier: MIT
// VMSAv8-64 stage 1 descriptors: what each bit says, and how an output address is laid out (D8.3).
// Pure functions of (regime, level, bits). Legality of replacing one by another is break_before_make.hpp.
#pragma once

#include <cstdint>

#include "vmsa/address.hpp"
#include "vmsa/regime.hpp"

namespace shootdown::vmsa {

enum class DescriptorKind : std::uint8_t { invalid, table, block, page };
enum class Shareability : std::uint8_t { none = 0, outer = 2, inner = 3 };

/// What a leaf says besides its output address, as far as Linux's kernel half uses it. Guarded pages, the
/// bits reserved for software and hardware's implementation defined ones are left out.
struct Attributes {
  unsigned memory_index = 0;  ///< MAIR index, 0 to 7
  bool user = false;          ///< AP[1]
  bool read_only = false;     ///< AP[2]; with `dbm`, "writable but clean"
  bool dbm = false;
  bool accessed = true;  ///< AF
  bool not_global = false;
  bool contiguous = false;
  bool privileged_execute_never = true;
  bool user_execute_never = true;
  Shareability shareability = Shareability::inner;

  friend constexpr bool operator==(const Attributes&, const Attributes&) = default;
};

/// Attributes of Linux's PAGE_KERNEL: writable, dirty, accessed, global, never executable.
inline constexpr Attributes page_kernel{.dbm = true};

/// One 64-bit translation table entry. Two descriptors are equal when all their bits are.
struct Descriptor {
  std::uint64_t bits = 0;

  static constexpr std::uint64_t valid_bit = 1u << 0;
  static constexpr std::uint64_t table_bit = 1u << 1;  ///< table above level 3, page at level 3
  static constexpr std::uint64_t user_bit = 1u << 6;
  static constexpr std::uint64_t read_only_bit = 1u << 7;
  static constexpr std::uint64_t accessed_bit = 1u << 10;  ///< in tables too, with FEAT_HAFT
  static constexpr std::uint64_t not_global_bit = 1u << 11;
  static constexpr std::uint64_t no_translation_bit = 1u << 16;  ///< nT, blocks only (FEAT_BBM level 1)
  static constexpr std::uint64_t dbm_bit = std::uint64_t{1} << 51;
  static constexpr std::uint64_t contiguous_bit = std::uint64_t{1} << 52;
  static constexpr std::uint64_t pxn_bit = std::uint64_t{1} << 53;
  static constexpr std::uint64_t uxn_bit = std::uint64_t{1} << 54;
  static constexpr std::uint64_t software_bits = std::uint64_t{0xf} << 55;

  friend constexpr auto operator<=>(Descriptor, Descriptor) = default;

  constexpr bool has(std::uint64_t bit) const { return (bits & bit) != 0; }
  constexpr bool valid() const { return has(valid_bit); }
  constexpr bool none() const { return bits == 0; }  ///< Linux's pte_none()
  constexpr bool accessed() const { return has(accessed_bit); }
  constexpr bool contiguous() const { return has(contiguous_bit); }
  constexpr bool not_global() const { return has(not_global_bit); }

  /// What this is at `level` (R_RWMFF), blocks at levels 1 and 2 whatever the page size.
  constexpr DescriptorKind kind(Level level) const {
    if (!valid()) return DescriptorKind::invalid;
    if (level == page_level) return has(table_bit) ? DescriptorKind::page : DescriptorKind::invalid;
    if (has(table_bit)) return DescriptorKind::table;
    return level >= pud_level ? DescriptorKind::block : DescriptorKind::invalid;
  }
  /// The same as the hardware of one regime takes it: a block where there cannot be one is reserved and faults.
  constexpr DescriptorKind kind(const Regime& r, Level level) const {
    if (!valid() || level == page_level || has(table_bit)) return kind(level);
    return r.accepts_block(level) ? DescriptorKind::block : DescriptorKind::invalid;
  }
  constexpr bool is_table(Level level) const { return kind(level) == DescriptorKind::table; }
  constexpr bool is_leaf(Level level) const {
    return kind(level) == DescriptorKind::block || kind(level) == DescriptorKind::page;
  }
};

namespace detail {

/// Bits [high:low] set.
constexpr std::uint64_t mask(unsigned high, unsigned low) {
  return (~std::uint64_t{0} >> (63 - high)) & (~std::uint64_t{0} << low);
}

/// Lays out an output address aligned to 2^shift. Three layouts: 48-bit; 64K pages with OA[51:48] in
/// bits [15:12] (FEAT_LPA); FEAT_LPA2 with OA[51:50] in bits [9:8], where SH would be. (Tables D8-50, D8-52)
constexpr std::uint64_t encode_address(const Regime& r, unsigned shift, PhysAddr pa) {
  if (r.lpa2) return (pa.value & mask(49, shift)) | ((pa.value >> 50 & 3) << 8);
  if (r.page_shift == 16) return (pa.value & mask(47, shift)) | ((pa.value >> 48 & 0xf) << 12);
  return pa.value & mask(47, shift);
}
constexpr PhysAddr decode_address(const Regime& r, unsigned shift, std::uint64_t bits) {
  if (r.lpa2) return PhysAddr((bits & mask(49, shift)) | ((bits >> 8 & 3) << 50));
  if (r.page_shift == 16) return PhysAddr((bits & mask(47, shift)) | ((bits >> 12 & 0xf) << 48));
  return PhysAddr(bits & mask(47, shift));
}

}  // namespace detail

/// A table descriptor for the table page at `table`.
constexpr Descriptor make_table(const Regime& r, PhysAddr table) {
  return Descriptor{detail::encode_address(r, r.page_shift, table) | Descriptor::table_bit |
                    Descriptor::valid_bit};
}

/// A block or page descriptor; `pa` is aligned to `r.span(level)`.
constexpr Descriptor make_leaf(const Regime& r, Level level, PhysAddr pa, const Attributes& a) {
  std::uint64_t bits = detail::encode_address(r, r.span_shift(level), pa) | Descriptor::valid_bit;
  bits |= std::uint64_t{a.memory_index & 7} << 2;
  if (!r.lpa2) bits |= static_cast<std::uint64_t>(a.shareability) << 8;
  if (level == page_level) bits |= Descriptor::table_bit;
  if (a.user) bits |= Descriptor::user_bit;
  if (a.read_only) bits |= Descriptor::read_only_bit;
  if (a.accessed) bits |= Descriptor::accessed_bit;
  if (a.not_global) bits |= Descriptor::not_global_bit;
  if (a.dbm) bits |= Descriptor::dbm_bit;
  if (a.contiguous) bits |= Descriptor::contiguous_bit;
  if (a.privileged_execute_never) bits |= Descriptor::pxn_bit;
  if (a.user_execute_never) bits |= Descriptor::uxn_bit;
  return Descriptor{bits};
}

/// Where a valid descriptor points: the next table, or the first byte of the leaf.
constexpr PhysAddr output_address(const Regime& r, Level level, Descriptor d) {
  return detail::decode_address(r, d.is_table(level) ? r.page_shift : r.span_shift(level), d.bits);
}

/// The same leaf with another output address, aligned to the level's span.
constexpr Descriptor with_output_address(const Regime& r, Level level, Descriptor leaf, PhysAddr pa) {
  const std::uint64_t field = detail::encode_address(r, r.span_shift(level), PhysAddr(~std::uint64_t{0}));
  return Descriptor{(leaf.bits & ~field) | detail::encode_address(r, r.span_shift(level), pa)};
}

/// The attributes of a leaf. Under FEAT_LPA2 shareability lives in TCR_EL1: reported as inner.
constexpr Attributes attributes(const Regime& r, Descriptor d) {
  return Attributes{
      .memory_index = static_cast<unsigned>(d.bits >> 2 & 7),
      .user = d.has(Descriptor::user_bit),
      .read_only = d.has(Descriptor::read_only_bit),
      .dbm = d.has(Descriptor::dbm_bit),
      .accessed = d.accessed(),
      .not_global = d.not_global(),
      .contiguous = d.contiguous(),
      .privileged_execute_never = d.has(Descriptor::pxn_bit),
      .user_execute_never = d.has(Descriptor::uxn_bit),
      .shareability = r.lpa2 ? Shareability::inner : static_cast<Shareability>(d.bits >> 8 & 3),
  };
}

/// Hardware or software may write through this leaf; DBM counts as writable (R_WHZWS).
constexpr bool is_writable(Descriptor d) {
  return !d.has(Descriptor::read_only_bit) || d.has(Descriptor::dbm_bit);
}

/// An access that `old` permits is not permitted by `now`, a leaf over the same address. Through a writable-clean
/// leaf nobody writes without asking the tables again (R_SGJBL).
constexpr bool restricts(Descriptor old, Descriptor now) {
  constexpr std::uint64_t never = Descriptor::pxn_bit | Descriptor::uxn_bit;
  return (!old.has(Descriptor::read_only_bit) && !is_writable(now)) ||
         (old.has(Descriptor::user_bit) && !now.has(Descriptor::user_bit)) ||
         (~old.bits & now.bits & never) != 0;
}

/// The physical address of the slot that translates `va` in the table page `table` at `level`.
constexpr PhysAddr slot_address(const Regime& r, PhysAddr table, Level level, VirtAddr va) {
  return table + std::uint64_t{r.index(level, va)} * sizeof(Descriptor);
}

}  // namespace shootdown::vmsa
