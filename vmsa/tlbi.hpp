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
  all,      ///< VMALL: everything of the regime
  asid,     ///< ASIDE1: everything tagged with one ASID
  va,       ///< VA*: one VA, one ASID, and global leaves
  va_all,   ///< VAA*: one VA, any ASID
};

/// A TLBI instruction without its operand. The Outer Shareable forms are left out: Linux issues none.
struct TlbiOp {
  TlbiTarget target = TlbiTarget::all;
  bool last_level = false;  ///< leaf entries only; walk-cache entries may stay (R_VMSWQ)
  bool range = false;       ///< FEAT_TLBIRANGE
  bool broadcast = true;    ///< Inner Shareable; otherwise the issuing CPU alone (R_FZTHY)

  friend constexpr auto operator<=>(const TlbiOp&, const TlbiOp&) = default;

  constexpr bool by_va() const { return target == TlbiTarget::va || target == TlbiTarget::va_all; }
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

/// A TLBI as issued: the operation and its operand. Without FEAT_TTL a hint encodes to nothing.
struct Tlbi {
  TlbiOp op;
  VirtAddr va;                ///< base, for operations by VA
  std::uint64_t pages = 1;    ///< for a range: (num + 1) << (5 * scale + 1), at most 2^21
  std::optional<Level> ttl;   ///< level hint; 1 to 3, nothing when unknown
  std::uint16_t asid = 0;     ///< for operations by ASID
  unsigned page_shift = 12;   ///< the TG field; must be the regime's

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
/// TG as in the TTL and range operands: 1, 2, 3 for 4K, 16K, 64K.
constexpr std::uint64_t tg_field(unsigned page_shift) { return (page_shift - 10) / 2; }
/// BaseADDR of a range operand counts pages, or 64 KiB units under FEAT_LPA2 (TCR_EL1.DS).
constexpr unsigned range_base_shift(const Regime& r) { return r.lpa2 ? 16 : r.page_shift; }
}  // namespace detail

/// The value of Xt. A range's page count must be encodable (`range_fields`).
constexpr std::uint64_t tlbi_operand(const Regime& r, const Tlbi& t) {
  const std::uint64_t asid = std::uint64_t{t.asid} << 48;
  const auto level = static_cast<std::uint64_t>(t.ttl ? t.ttl->value : 0);
  const std::uint64_t tg = detail::tg_field(t.page_shift);
  if (!t.op.by_va()) return t.op.target == TlbiTarget::asid ? asid : 0;
  if (!t.op.range) {
    const std::uint64_t ttl = t.ttl ? (tg << 46 | level << 44) : 0;
    return asid | ttl | (t.va.value >> 12 & detail::mask(43, 0));
  }
  const RangeFields f = range_fields(t.pages).value_or(RangeFields{});
  return asid | tg << 46 | std::uint64_t{f.scale} << 44 | std::uint64_t{f.num} << 39 | level << 37 |
         (t.va.value >> detail::range_base_shift(r) & detail::mask(36, 0));
}

/// The inverse of `tlbi_operand`: what an observed instruction asked for. Addresses are sign-extended.
constexpr Tlbi decode_tlbi(const Regime& r, TlbiOp op, std::uint64_t xt) {
  Tlbi t{.op = op, .page_shift = r.page_shift};
  if (op.target == TlbiTarget::all) return t;
  t.asid = static_cast<std::uint16_t>(xt >> 48);
  if (!op.by_va()) return t;
  auto sign_extend = [](std::uint64_t v, unsigned bits) {
    const std::uint64_t sign = std::uint64_t{1} << (bits - 1);
    return VirtAddr((v ^ sign) - sign);
  };
  if (!op.range) {
    if (xt >> 46 & 3) {
      t.ttl = Level{static_cast<int>(xt >> 44 & 3)};
      t.page_shift = 10 + 2 * static_cast<unsigned>(xt >> 46 & 3);
      if (t.ttl->value == 0) t.ttl.reset();
    }
    t.va = sign_extend((xt & detail::mask(43, 0)) << 12, 56);
    return t;
  }
  const auto tg = static_cast<unsigned>(xt >> 46 & 3);
  t.page_shift = tg == 0 ? 0 : 10 + 2 * tg;
  t.pages = RangeFields{static_cast<unsigned>(xt >> 44 & 3), static_cast<unsigned>(xt >> 39 & 31)}.pages();
  if (xt >> 37 & 3) t.ttl = Level{static_cast<int>(xt >> 37 & 3)};
  const unsigned base_shift = detail::range_base_shift(r);
  t.va = sign_extend((xt & detail::mask(36, 0)) << base_shift, 37 + base_shift);
  return t;
}

/// The VA range that an operation by VA names: one page, or a range. Its base is rounded down to its granule.
constexpr VirtRange tlbi_range(const Tlbi& t) {
  const std::uint64_t page = std::uint64_t{1} << t.page_shift;
  const VirtAddr base = t.va.align_down(page);
  return {base, base + (t.op.range ? t.pages : 1) * page};
}

/// A TLB entry as an invalidation sees it.
struct CachedEntry {
  Level level;
  VirtAddr va;         ///< the address it translates, aligned to the span of its level
  bool table = false;  ///< a walk-cache entry; otherwise a leaf
  bool global = true;  ///< leaves only: walk-cache entries are tagged with their context (R_JXKNN)
  std::uint16_t asid = 0;
};

/// Why an operation does not oblige a TLB to drop an entry; `none` when it does.
enum class Miss : std::uint8_t { none, address, last_level, asid, level_hint, granule };

/// What the architecture obliges `t` to do to `e`, by Linux's reading of the ASID forms (they do remove
/// walk-cache entries of their ASID). A hint that is not the level of a cached *leaf* obliges nothing
/// (R_SQXYZ), a foreign granule field neither; contiguity never enlarges an operation (R_LQLSD).
constexpr Miss tlbi_miss(const Regime& r, const Tlbi& t, const CachedEntry& e) {
  if (t.op.target == TlbiTarget::all) return Miss::none;
  const bool asid_matches = t.op.target == TlbiTarget::va_all || (!e.table && e.global && t.op.by_va()) ||
                            t.asid == e.asid;
  if (!t.op.by_va()) return asid_matches && (e.table || !e.global) ? Miss::none : Miss::asid;
  if (!tlbi_range(t).overlaps({e.va, e.va + r.span(e.level)})) return Miss::address;
  if ((t.op.range || t.ttl) && t.page_shift != r.page_shift) return Miss::granule;
  if (e.table && t.op.last_level) return Miss::last_level;
  if (t.ttl && (e.table || *t.ttl != e.level)) return Miss::level_hint;
  if (!asid_matches) return Miss::asid;
  return Miss::none;
}

}  // namespace shootdown::vmsa
