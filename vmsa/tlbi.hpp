// SPDX-License-Identifier: MIT
// TLB invalidation: the EL1 operations, their operands as the instruction takes them, and what each obliges
// a TLB to remove. How a range is cut into operations is tlbi_range.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "vmsa/address.hpp"
#include "vmsa/descriptor.hpp"
#include "vmsa/regime.hpp"

namespace shootdown::vmsa {

/// Which entries an operation is about.
enum class TlbiTarget : std::uint8_t {
  all,     ///< VMALL: everything of the regime
  asid,    ///< ASIDE1: everything tagged with one ASID
  va,      ///< VA*: one VA, one ASID, and global leaves
  va_all,  ///< VAA*: one VA, any ASID
};

/// A TLBI instruction without its operand. The Outer Shareable forms are left out: Linux issues none.
struct TlbiOp {
  TlbiTarget target = TlbiTarget::all;
  bool last_level = false;  ///< leaf entries only; walk-cache entries may stay (R_VMSWQ)
  bool range = false;       ///< FEAT_TLBIRANGE
  bool broadcast = true;    ///< Inner Shareable; otherwise the issuing CPU alone (R_FZTHY)

  friend constexpr auto operator<=>(const TlbiOp&, const TlbiOp&) = default;

  constexpr bool by_va() const { return target == TlbiTarget::va || target == TlbiTarget::va_all; }
  constexpr bool by_asid() const { return target == TlbiTarget::va || target == TlbiTarget::asid; }
};

inline constexpr TlbiOp vmalle1is{};
inline constexpr TlbiOp vmalle1{.broadcast = false};
inline constexpr TlbiOp aside1is{.target = TlbiTarget::asid};
inline constexpr TlbiOp vae1is{.target = TlbiTarget::va};
inline constexpr TlbiOp vale1is{.target = TlbiTarget::va, .last_level = true};
inline constexpr TlbiOp vaae1is{.target = TlbiTarget::va_all};
inline constexpr TlbiOp vaale1is{.target = TlbiTarget::va_all, .last_level = true};

/// Every operation there is: the order of counters and tables.
inline constexpr auto tlbi_ops = [] {
  std::array<TlbiOp, 20> ops;
  unsigned n = 0;
  for (bool broadcast : {false, true}) {
    ops[n++] = {.target = TlbiTarget::all, .broadcast = broadcast};
    ops[n++] = {.target = TlbiTarget::asid, .broadcast = broadcast};
    for (bool range : {false, true})
      for (bool last_level : {false, true})
        for (TlbiTarget target : {TlbiTarget::va, TlbiTarget::va_all})
          ops[n++] = {target, last_level, range, broadcast};
  }
  return ops;
}();

/// Position of an operation in `tlbi_ops`.
constexpr unsigned tlbi_index(TlbiOp op) {
  for (unsigned i = 0; i < tlbi_ops.size(); ++i)
    if (tlbi_ops[i] == op) return i;
  return tlbi_ops.size();
}
static_assert(tlbi_index(tlbi_ops.front()) == 0 && tlbi_index(tlbi_ops.back()) == 19);

/// The architecture's name, such as "RVAALE1IS"; NUL-terminated.
struct TlbiName {
  std::array<char, 12> text{};
  constexpr const char* c_str() const { return text.data(); }
};
constexpr TlbiName tlbi_name(TlbiOp op) {
  TlbiName name;
  unsigned n = 0;
  auto append = [&](const char* s) {
    while (*s != '\0') name.text[n++] = *s++;
  };
  if (op.range) append("R");
  switch (op.target) {
    case TlbiTarget::all: append("VMALL"); break;
    case TlbiTarget::asid: append("ASID"); break;
    case TlbiTarget::va: append("VA"); break;
    case TlbiTarget::va_all: append("VAA"); break;
  }
  if (op.last_level) append("L");
  append(op.broadcast ? "E1IS" : "E1");
  return name;
}

/// A TLBI as issued: the operation and its operand.
struct Tlbi {
  TlbiOp op{};
  VirtAddr va{};               ///< base, for operations by VA
  std::uint64_t pages = 1;     ///< for a range: (num + 1) << (5 * scale + 1), at most 2^21
  std::optional<Level> ttl{};  ///< the level of the leaves (FEAT_TTL); nothing when unknown
  std::uint16_t asid = 0;      ///< for operations by ASID
  unsigned page_shift = 12;    ///< the TG field of a range or a hint; must be the regime's

  friend constexpr bool operator==(const Tlbi&, const Tlbi&) = default;
};

/// SCALE and NUM of a range operation (R_QKRKL).
struct RangeFields {
  unsigned scale = 0;
  unsigned num = 0;

  constexpr std::uint64_t pages() const { return std::uint64_t{num + 1} << (5 * scale + 1); }
};

/// The fields that cover exactly `pages`, the smallest scale first; nothing when no single operation can.
constexpr std::optional<RangeFields> range_fields(std::uint64_t pages) {
  for (unsigned scale = 0; scale <= 3; ++scale) {
    const unsigned unit_shift = 5 * scale + 1;
    const std::uint64_t units = pages >> unit_shift;
    if (units >= 1 && units <= 32 && units << unit_shift == pages)
      return RangeFields{scale, static_cast<unsigned>(units - 1)};
  }
  return std::nullopt;
}

/// Operands of the SYS instruction: `SYS #0, C8, C<crm>, #<op2>, Xt`.
struct SysEncoding {
  unsigned crm = 0;
  unsigned op2 = 0;
  friend constexpr bool operator==(SysEncoding, SysEncoding) = default;
};

constexpr SysEncoding sys_encoding(TlbiOp op) {
  const unsigned crm = op.range ? (op.broadcast ? 2 : 6) : (op.broadcast ? 3 : 7);
  switch (op.target) {
    case TlbiTarget::all: return {crm, 0};
    case TlbiTarget::asid: return {crm, 2};
    case TlbiTarget::va: return {crm, op.last_level ? 5u : 1u};
    case TlbiTarget::va_all: return {crm, op.last_level ? 7u : 3u};
  }
  return {};
}

/// The operation that a SYS instruction with CRn 8 and op1 0 issues, if it is one of `tlbi_ops`.
constexpr std::optional<TlbiOp> decode_sys(SysEncoding e) {
  for (TlbiOp op : tlbi_ops)
    if (sys_encoding(op) == e) return op;
  return std::nullopt;
}

namespace detail {
/// TG as in the TTL and range operands: 1, 2, 3 for 4K, 16K, 64K; 0 is reserved.
constexpr std::uint64_t tg_field(unsigned page_shift) { return (page_shift - 10) / 2; }
constexpr unsigned tg_page_shift(std::uint64_t tg) {
  return tg == 0 ? 0 : 10 + 2 * static_cast<unsigned>(tg);
}

constexpr VirtAddr sign_extend(std::uint64_t v, unsigned bits) {
  const std::uint64_t sign = std::uint64_t{1} << (bits - 1);
  return VirtAddr((v ^ sign) - sign);
}
}  // namespace detail

/// The level hint as hardware takes it. Levels that cannot hold a block are reserved and count as no hint; level
/// 0 exists for single addresses with LPA2 and 4K pages, where a stray 0 is a *wrong* hint. (I_VWPQL, I_VNDBJ)
constexpr std::optional<Level> ttl_hint(const Regime& r, const Tlbi& t) {
  if (!t.ttl) return std::nullopt;
  const int level = t.ttl->value;
  const bool exists = level == 3 || level == 2 || (level == 1 && (t.page_shift != 14 || r.lpa2)) ||
                      (level == 0 && t.page_shift == 12 && r.lpa2 && !t.op.range);
  return exists ? t.ttl : std::nullopt;
}

/// The value of Xt (I_ZVNJG, I_QPHNP). A range's page count must be encodable: a TLBI that silently covers
/// something else would be the worst of bugs, so this stops.
constexpr std::uint64_t tlbi_operand(const Regime& r, const Tlbi& t) {
  const std::uint64_t asid = t.op.by_asid() ? std::uint64_t{t.asid} << 48 : 0;
  if (!t.op.by_va()) return asid;
  const std::optional<Level> hint = ttl_hint(r, t);
  const auto level = static_cast<std::uint64_t>(hint ? hint->value : 0);
  const std::uint64_t tg = detail::tg_field(t.page_shift);
  if (!t.op.range) {
    // VA[55:12] whatever the page size; hardware ignores the bits below its page (I_HQTLK).
    return asid | (hint ? tg << 46 | level << 44 : 0) | (t.va.value >> 12 & detail::mask(43, 0));
  }
  const std::optional<RangeFields> f = range_fields(t.pages);
  if (!f) __builtin_trap();
  return asid | tg << 46 | std::uint64_t{f->scale} << 44 | std::uint64_t{f->num} << 39 | level << 37 |
         (t.va.value >> r.range_base_shift & detail::mask(36, 0));
}

/// The inverse of `tlbi_operand`: what an observed instruction asked for. Addresses are sign-extended (R_JGGKN).
constexpr Tlbi decode_tlbi(const Regime& r, TlbiOp op, std::uint64_t xt) {
  Tlbi t{.op = op, .page_shift = r.page_shift};
  if (op.by_asid()) t.asid = static_cast<std::uint16_t>(xt >> 48);
  if (!op.by_va()) return t;
  const std::uint64_t tg = xt >> 46 & 3;
  if (op.range) {
    t.page_shift = detail::tg_page_shift(tg);
    t.pages = RangeFields{static_cast<unsigned>(xt >> 44 & 3), static_cast<unsigned>(xt >> 39 & 31)}.pages();
    t.ttl = Level{static_cast<int>(xt >> 37 & 3)};
    t.va = detail::sign_extend((xt & detail::mask(36, 0)) << r.range_base_shift, 37 + r.range_base_shift);
  } else {
    if (tg != 0) {
      t.page_shift = detail::tg_page_shift(tg);
      t.ttl = Level{static_cast<int>(xt >> 44 & 3)};
    }
    t.va = detail::sign_extend((xt & detail::mask(43, 0)) << 12, 56);
  }
  t.ttl = ttl_hint(r, t);
  if (!t.ttl && !op.range) t.page_shift = r.page_shift;
  return t;
}

/// The VA range that an operation by VA names: one page, or a range, its base rounded down to what the operand
/// can say (I_HKYNQ). A range never wraps into the other half of the address space (R_QNPXY).
constexpr VirtRange tlbi_range(const Regime& r, const Tlbi& t) {
  if (!t.op.range) {
    const VirtAddr page = t.va.align_down(r.page_size());
    return {page, page + r.page_size()};
  }
  const VirtAddr base = t.va.align_down(std::uint64_t{1} << r.range_base_shift);
  const VirtAddr end = base + (t.pages << t.page_shift);
  return {base, end < base ? VirtAddr(0) : end};
}

/// A TLB entry as an invalidation sees it.
struct CachedEntry {
  Level level{};
  VirtAddr va{};       ///< the address it translates, aligned to the span of its level
  bool table = false;  ///< a walk-cache entry; otherwise a leaf
  bool global = true;  ///< leaves only: walk-cache entries are tagged with their context
  std::uint16_t asid = 0;
};

/// Addresses whose top bit is set are translated by TTBR1.
constexpr bool is_kernel_half(VirtAddr va) { return va.value >> 63 != 0; }

/// Why an operation does not oblige a TLB to drop an entry; `none` when it does.
enum class Miss : std::uint8_t {
  none,
  address,        ///< it names other addresses
  last_level,     ///< leaf entries only, and this is a walk-cache entry
  asid,           ///< another ASID
  level_hint,     ///< the hint is not the level of this leaf (R_SQXYZ)
  granule,        ///< the operand names another page size (R_XKMMX)
  unpredictable,  ///< a range with a hint, its base not aligned to a block of that level (I_TYBWT)
};

/// How to read the manual where it can be read in two ways. (`linux` alone is a macro of GNU modes.)
enum class Reading : std::uint8_t {
  linux_kernel,  ///< what Linux builds on
  strict,  ///< the narrow one. ASIDE1: non-global leaves only. With LPA2 and 4K pages, a range without a
           ///< hint: unpredictable unless its base is a multiple of 512 GiB
};

namespace detail {
/// I_TYBWT: the base must be a multiple of the hinted level's block. The list has a case for LPA2, 4K pages
/// and TTL 0 too, as if 0 meant level 0; Linux takes it for "no hint" and aligns to 64 KiB.
constexpr bool is_unpredictable(const Regime& r, const Tlbi& t, std::optional<Level> hint, Reading reading) {
  if (!t.op.range) return false;
  if (!hint && reading == Reading::strict && r.lpa2 && r.page_shift == 12) hint = Level{0};
  return hint && !tlbi_range(r, t).start.is_aligned(r.span(*hint));
}
}  // namespace detail

/// What the architecture obliges `t` to do to `e`.
///
/// - Forms with an ASID drop global leaves too, but walk-cache entries of their ASID only: those are never
///   global, not even under TTBR1. Forms without one drop all (R_VMSWQ, R_ZSXRQ).
/// - A walk-cache entry of the kernel half is tagged with whatever ASID its CPU ran when it was made, so no form with
///   an ASID is sure to name it (R_JXKNN).
/// - A level hint is about leaves. The instruction pages of the range forms promise walk-cache entries above the
///   hinted level as well, but Linux gives no hint once tables are freed, and so a hint obliges nothing here.
/// - The contiguous bit never enlarges what one operation removes (R_LQLSD).
constexpr Miss tlbi_miss(const Regime& r, const Tlbi& t, const CachedEntry& e,
                         Reading reading = Reading::linux_kernel) {
  if (t.op.target == TlbiTarget::all) return Miss::none;
  const bool tagged = e.table || !e.global;
  const bool other_asid = t.op.by_asid() && tagged && (t.asid != e.asid || (e.table && is_kernel_half(e.va)));
  if (t.op.target == TlbiTarget::asid) {
    if (!tagged || other_asid) return Miss::asid;
    return e.table && reading == Reading::strict ? Miss::last_level : Miss::none;
  }
  if (!tlbi_range(r, t).overlaps({e.va, e.va + r.span(e.level)})) return Miss::address;
  const std::optional<Level> hint = ttl_hint(r, t);
  if ((t.op.range || hint) && t.page_shift != r.page_shift) return Miss::granule;
  if (detail::is_unpredictable(r, t, hint, reading)) return Miss::unpredictable;
  if (e.table && t.op.last_level) return Miss::last_level;
  if (hint && (e.table || *hint != e.level)) return Miss::level_hint;
  return other_asid ? Miss::asid : Miss::none;
}

}  // namespace shootdown::vmsa
