// SPDX-License-Identifier: MIT
// Strategy: the twenty operations against a hand-copied table of their encodings, every SCALE and NUM, and
// operands against a second reading of the manual, there and back, in all regimes.
#include "vmsa/tlbi.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>

#include "tests/vmsa/operand.hpp"
#include "tests/vmsa/show.hpp"

namespace shootdown::vmsa {
namespace {

struct Row {
  const char* name;
  unsigned crm, op2;
};

/// SYS #0, C8, C<crm>, #<op2>: the instruction pages C5.5, and what an assembler makes of the names.
constexpr Row encodings[] = {
    {"VMALLE1", 7, 0},   {"VAE1", 7, 1},    {"ASIDE1", 7, 2},   {"VAAE1", 7, 3},    {"VALE1", 7, 5},
    {"VAALE1", 7, 7},    {"RVAE1", 6, 1},   {"RVAAE1", 6, 3},   {"RVALE1", 6, 5},   {"RVAALE1", 6, 7},
    {"VMALLE1IS", 3, 0}, {"VAE1IS", 3, 1},  {"ASIDE1IS", 3, 2}, {"VAAE1IS", 3, 3},  {"VALE1IS", 3, 5},
    {"VAALE1IS", 3, 7},  {"RVAE1IS", 2, 1}, {"RVAAE1IS", 2, 3}, {"RVALE1IS", 2, 5}, {"RVAALE1IS", 2, 7},
};

TEST(TlbiOp, TheTwentyEncodings) {
  std::map<std::string, Row> by_name;
  for (const Row& row : encodings) by_name.emplace(row.name, row);
  ASSERT_EQ(by_name.size(), tlbi_ops.size());
  for (const TlbiOp& op : tlbi_ops) {
    const auto row = by_name.find(tlbi_name(op).c_str());
    ASSERT_NE(row, by_name.end()) << tlbi_name(op).c_str();
    EXPECT_EQ(sys_encoding(op).crm, row->second.crm) << row->first;
    EXPECT_EQ(sys_encoding(op).op2, row->second.op2) << row->first;
    EXPECT_EQ(op.range, row->first[0] == 'R');
    EXPECT_EQ(op.broadcast, row->first.ends_with("IS"));
    by_name.erase(row);
  }
}

TEST(TlbiOp, EveryEncodingDecodesToItsOperationOrToNone) {
  unsigned decoded = 0;
  for (unsigned crm = 0; crm < 16; ++crm)
    for (unsigned op2 = 0; op2 < 8; ++op2)
      if (const std::optional<TlbiOp> op = decode_sys({crm, op2})) {
        EXPECT_EQ(sys_encoding(*op), (SysEncoding{crm, op2}));
        ++decoded;
      }
  EXPECT_EQ(decoded, 20u);
}

TEST(TlbiOp, IndicesAreTheOrderOfTheTable) {
  for (unsigned i = 0; i < tlbi_ops.size(); ++i) EXPECT_EQ(tlbi_index(tlbi_ops[i]), i);
  EXPECT_STREQ(tlbi_name(vaale1is).c_str(), "VAALE1IS");
  EXPECT_STREQ(tlbi_name(vmalle1).c_str(), "VMALLE1");
}

TEST(RangeFields, EveryScaleAndNum) {
  std::set<std::uint64_t> encodable;
  for (unsigned scale = 0; scale <= 3; ++scale)
    for (unsigned num = 0; num <= 31; ++num) {
      const std::uint64_t pages = (num + 1) * reference::power(2, 5 * scale + 1);
      EXPECT_EQ((RangeFields{scale, num}.pages()), pages);
      const std::optional<RangeFields> f = range_fields(pages);
      ASSERT_TRUE(f);
      EXPECT_EQ(f->pages(), pages);
      EXPECT_LE(f->scale, scale) << "the smallest scale";
      EXPECT_LE(f->num, 31u);
      encodable.insert(pages);
    }
  EXPECT_EQ(*encodable.rbegin(), std::uint64_t{1} << 21);
  for (std::uint64_t pages = 0; pages <= (1 << 21) + 4096; ++pages)
    if (range_fields(pages).has_value() != (encodable.count(pages) == 1)) FAIL() << pages;
}

/// Any operation by VA with any operand that it can carry; base and address aligned as the operand needs it.
Tlbi random_tlbi(const Regime& r, TlbiOp op, std::mt19937_64& random) {
  Tlbi t{.op = op, .page_shift = r.page_shift};
  if (op.by_asid()) t.asid = static_cast<std::uint16_t>(random());
  if (!op.by_va()) return t;
  const std::uint64_t unit = std::uint64_t{1} << (op.range ? r.range_base_shift : r.page_shift);
  const std::uint64_t offset = random() & ((std::uint64_t{1} << r.va_bits) - 1);
  t.va = VirtAddr(random() & 1 ? r.base().value + offset : offset).align_down(unit);  // either half
  if (op.range) t.pages = RangeFields{unsigned(random() % 4), unsigned(random() % 32)}.pages();
  if (const int level = static_cast<int>(random() % 4)) t.ttl = Level{level};
  t.ttl = ttl_hint(r, t);
  return t;
}

TEST(TlbiOperand, DecodesToWhatWasEncoded) {
  std::mt19937_64 random(6);
  for (const Regime& r : regimes)
    for (const TlbiOp& op : tlbi_ops)
      for (int i = 0; i < 500; ++i) {
        const Tlbi t = random_tlbi(r, op, random);
        ASSERT_EQ(decode_tlbi(r, op, tlbi_operand(r, t)), t) << show(r);
      }
}

TEST(TlbiOperand, SaysWhatTheManualReads) {
  std::mt19937_64 random(7);
  for (const Regime& r : regimes)
    for (const TlbiOp& op : tlbi_ops)
      for (int i = 0; i < 500; ++i) {
        const Tlbi t = random_tlbi(r, op, random);
        const std::uint64_t xt = tlbi_operand(r, t);
        SCOPED_TRACE(show(r) + " " + show(t));
        const reference::Operand o = reference::read_operand(op.range, r.page_size(), r.lpa2, xt);
        const bool takes_asid = op.target == TlbiTarget::va || op.target == TlbiTarget::asid;
        ASSERT_EQ(o.asid, takes_asid ? t.asid : 0) << "bits [63:48] are RES0 without an ASID";
        if (!op.by_va()) {
          ASSERT_EQ(xt, takes_asid ? std::uint64_t{t.asid} << 48 : 0);
          continue;
        }
        ASSERT_EQ(o.start, t.va.value);
        ASSERT_EQ(o.bytes, t.pages * r.page_size());
        ASSERT_EQ(o.ttl, t.ttl ? static_cast<std::uint64_t>(t.ttl->value) : 0);
        const std::uint64_t tg = r.page_shift == 12 ? 1 : r.page_shift == 14 ? 2 : 3;
        ASSERT_EQ(o.tg, op.range || t.ttl ? tg : 0) << "TTL[3:2] is 0 without a hint";
        const VirtAddr end = t.va + o.bytes;
        ASSERT_EQ(tlbi_range(r, t).start, t.va);
        ASSERT_EQ(tlbi_range(r, t).end, end < t.va ? VirtAddr(0) : end);
      }
}

TEST(TlbiOperand, AnyBitsDecodeToSomethingThatEncodesTheSameRange) {
  std::mt19937_64 random(8);
  for (const Regime& r : regimes)
    for (const TlbiOp& op : tlbi_ops)
      for (int i = 0; i < 500; ++i) {
        const std::uint64_t xt = random();
        const Tlbi t = decode_tlbi(r, op, xt);
        if (t.page_shift == 0) continue;  // TG reserved
        SCOPED_TRACE(show(r) + " " + show(t));
        ASSERT_EQ(decode_tlbi(r, op, tlbi_operand(r, t)), t);
        if (!op.by_va() || t.page_shift != r.page_shift) continue;
        const reference::Operand o = reference::read_operand(op.range, r.page_size(), r.lpa2, xt);
        ASSERT_EQ(tlbi_range(r, t).start.value, o.start);
      }
}

/// Worked out by hand from the field tables.
TEST(TlbiOperand, HandMadeVectors) {
  struct Vector {
    Regime r;
    Tlbi t;
    std::uint64_t xt;
  };
  const TlbiOp rvaale1is{TlbiTarget::va_all, true, true, true}, rvae1is{TlbiTarget::va, false, true, true};
  const VirtAddr va(0xffff'8000'1234'0000);
  const Vector vectors[] = {
      {regime(12, 48), {.op = vmalle1is, .va = va, .asid = 5}, 0},
      {regime(12, 48), {.op = aside1is, .va = va, .asid = 5}, 0x0005'0000'0000'0000},
      {regime(12, 48), {.op = vaale1is, .va = va, .asid = 5}, 0xff8'0001'2340},
      {regime(12, 48), {.op = vae1is, .va = va, .asid = 5}, 0x0005'0000'0000'0000 | 0xff8'0001'2340},
      {regime(12, 48), {.op = vale1is, .va = va, .ttl = Level{3}}, 0x7ull << 44 | 0xff8'0001'2340},
      {regime(16, 48),
       {.op = vale1is, .va = va, .ttl = Level{2}, .page_shift = 16},
       0xeull << 44 | 0xff8'0001'2340},
      // 4K: BaseADDR is VA[48:12], of which VA[48] is 1. 2 pages: SCALE 0, NUM 0.
      {regime(12, 48), {.op = rvaale1is, .va = va, .pages = 2}, 0x1ull << 46 | 0x18'0001'2340},
      // 2^21 pages: SCALE 3, NUM 31.
      {regime(12, 48),
       {.op = rvaale1is, .va = va, .pages = 1 << 21},
       0x1ull << 46 | 3ull << 44 | 31ull << 39 | 0x18'0001'2340},
      // LPA2: BaseADDR is VA[52:16]. 128 pages: SCALE 1, NUM 1. TTL 3.
      {regime(12, 52),
       {.op = rvae1is, .va = va, .pages = 128, .ttl = Level{3}, .asid = 0xabcd},
       0xabcdull << 48 | 0x1ull << 46 | 1ull << 44 | 1ull << 39 | 3ull << 37 | 0x1f'8000'1234},
  };
  for (const Vector& v : vectors) EXPECT_EQ(tlbi_operand(v.r, v.t), v.xt) << show(v.r) << " " << show(v.t);
}

TEST(TlbiOperand, HintsThatAreReservedCountAsNone) {
  for (const Regime& r : regimes)
    for (bool range : {false, true})
      for (int level = -1; level <= 3; ++level) {
        TlbiOp op = vaale1is;
        op.range = range;
        const Tlbi t{.op = op, .pages = range ? 2u : 1u, .ttl = Level{level}, .page_shift = r.page_shift};
        // Tables D8-123 and D8-124, a row a page size.
        const bool level1 = r.page_shift != 14 || r.lpa2;
        const bool level0 = r.page_shift == 12 && r.lpa2 && !range;
        const bool real = level >= 2 || (level == 1 && level1) || (level == 0 && level0);
        EXPECT_EQ(ttl_hint(r, t).has_value(), real) << show(r) << " " << show(t);
        Tlbi hint_free = t;
        hint_free.ttl.reset();
        EXPECT_EQ(tlbi_operand(r, t) == tlbi_operand(r, hint_free), !real);
      }
}

TEST(TlbiOperandDeath, StopsOnAPageCountThatNoRangeCanSay) {
  const Tlbi t{.op = {TlbiTarget::va_all, true, true, true}, .pages = 3};
  EXPECT_DEATH((void)tlbi_operand(regime(12, 48), t), "");
}

TEST(TlbiRange, DropsWhatTheOperandCannotSay) {
  const TlbiOp op{TlbiTarget::va_all, true, true, true};
  const VirtAddr va(0xffff'0000'0000'5000);
  const Tlbi t{.op = op, .va = va, .pages = 2};
  EXPECT_EQ(tlbi_range(regime(12, 48), t).start, va);
  EXPECT_EQ(tlbi_range(regime(12, 52), t).start, va.align_down(0x10000))
      << "BaseADDR[15:12] is taken for zero";
  const Tlbi one{.op = vaale1is, .va = va};
  EXPECT_EQ(tlbi_range(regime(12, 52), one).start, va);
  EXPECT_EQ(tlbi_range(regime(16, 52), one).start, va.align_down(0x10000));
}

TEST(TlbiRange, DoesNotWrapIntoTheOtherHalf) {
  const Tlbi t{.op = {TlbiTarget::va_all, true, true, true}, .va = VirtAddr(0) - 4096, .pages = 64};
  EXPECT_EQ(tlbi_range(regime(12, 48), t), (VirtRange{VirtAddr(0) - 4096, VirtAddr(0)}));
}

}  // namespace
}  // namespace shootdown::vmsa
