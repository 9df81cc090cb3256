// SPDX-License-Identifier: MIT
// Strategy: what each operation must remove, as a table written by hand from R_VMSWQ, R_ZSXRQ, R_JXKNN and the
// rules about hints and granules, against tlbi_miss() over every combination of operation, entry and operand.
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/vmsa/show.hpp"
#include "vmsa/tlbi.hpp"

namespace shootdown::vmsa {
namespace {

constexpr std::uint16_t own = 7, foreign = 8;

/// The kinds of entry, in the order of the columns below.
constexpr struct {
  const char* name;
  bool table, global;
  std::uint16_t asid;
} kinds[] = {{"global leaf", false, true, own},
             {"leaf, same ASID", false, false, own},
             {"leaf, other ASID", false, false, foreign},
             {"table, same ASID", true, true, own},
             {"table, other ASID", true, true, foreign}};

/// What is removed when address, hint and granule are right: 1 yes, 0 no, u only of a user address, whose tables belong
/// to an ASID, s the same and by Linux's reading only.
constexpr struct {
  TlbiTarget target;
  bool last_level;
  const char* removes;
} obligations[] = {
    {TlbiTarget::all, false, "11111"},     //
    {TlbiTarget::asid, false, "010s0"},    // "from any level", but also "non-global, from the final level"
    {TlbiTarget::va, false, "110u0"},      // never another ASID's walk-cache entry, and none under TTBR1
    {TlbiTarget::va, true, "11000"},       //
    {TlbiTarget::va_all, false, "11111"},  //
    {TlbiTarget::va_all, true, "11100"},   //
};

bool removed(TlbiOp op, std::size_t kind, bool kernel, Reading reading) {
  for (const auto& row : obligations)
    if (row.target == op.target && row.last_level == op.last_level)
      return row.removes[kind] == '1' || (row.removes[kind] == 'u' && !kernel) ||
             (row.removes[kind] == 's' && !kernel && reading == Reading::linux_kernel);
  ADD_FAILURE() << "no row for " << tlbi_name(op).c_str();
  return false;
}

std::vector<std::optional<Level>> hints() { return {std::nullopt, Level{0}, Level{1}, Level{2}, Level{3}}; }

/// Every operation x entry kind x level x hint x address x granule x reading, in every regime. Bases are aligned
/// to 4 PiB, so that no hint makes a range unpredictable; that is the next test's.
TEST(TlbiMiss, TheWholeTruthTable) {
  for (const Regime& r : regimes)
    for (const TlbiOp& op : tlbi_ops)
      for (std::size_t kind = 0; kind < std::size(kinds); ++kind)
        for (Level level = r.root_level(); level <= page_level; level = level.next())
          for (std::optional<Level> ttl : hints())
            for (const auto& [there, kernel] :
                 {std::pair{true, true}, {true, false}, {false, true}, {false, false}})
              for (unsigned granule : {12u, 14u, 16u})
                for (Reading reading : {Reading::linux_kernel, Reading::strict}) {
                  const VirtAddr base(kernel ? std::uint64_t{0} - (std::uint64_t{1} << 52) : 0);
                  const std::uint64_t span = r.span(level);
                  Tlbi t{.op = op, .va = base, .ttl = ttl, .asid = own, .page_shift = granule};
                  if (op.range) t.pages = 2;
                  CachedEntry e{level, base, kinds[kind].table, kinds[kind].global, kinds[kind].asid};
                  if (!there) e.va = kernel ? base - span : base + 4 * span;

                  bool want = removed(op, kind, kernel, reading);
                  if (op.by_va()) {
                    const bool level1 = granule != 14 || r.lpa2;
                    const bool level0 = granule == 12 && r.lpa2 && !op.range;
                    const bool hinted = ttl && (ttl->value >= 2 || (ttl->value == 1 && level1) ||
                                                (ttl->value == 0 && level0));
                    if (!there) want = false;
                    if ((op.range || hinted) && granule != r.page_shift) want = false;
                    if (hinted && (kinds[kind].table || *ttl != level)) want = false;
                  }
                  if ((tlbi_miss(r, t, e, reading) == Miss::none) != want)
                    FAIL() << show(r) << " " << show(t) << " granule " << granule << " against "
                           << kinds[kind].name << " at level " << level.value
                           << (there ? " there" : " elsewhere") << (kernel ? " of the kernel" : " of a user")
                           << " reading " << int(reading);
                }
}

TEST(TlbiMiss, LinuxReadingIsTheDefault) {
  const Regime r = regime(12, 48);
  CachedEntry table{.level = pmd_level, .va = VirtAddr{}, .table = true, .asid = own};
  const Tlbi t{.op = aside1is, .asid = own};
  EXPECT_EQ(tlbi_miss(r, t, table), Miss::none);
  EXPECT_EQ(tlbi_miss(r, t, table, Reading::strict), Miss::last_level);
  table.va = r.base();
  EXPECT_EQ(tlbi_miss(r, t, table), Miss::asid) << "whichever ASID was current when it was walked";
}

/// One thing wrong at a time, and the name that it gets.
TEST(TlbiMiss, NamesWhatIsWrong) {
  const Regime r = regime(12, 48);
  const VirtAddr va = r.base() + 5 * r.span(pmd_level);
  const TlbiOp rvaale1is{TlbiTarget::va_all, true, true, true};
  const CachedEntry page{.level = page_level, .va = va};
  const CachedEntry block{.level = pmd_level, .va = va};
  const CachedEntry table{.level = pmd_level, .va = va, .table = true, .asid = own};
  auto miss = [&](Tlbi t, const CachedEntry& e) { return tlbi_miss(r, t, e); };
  EXPECT_EQ(miss({.op = vaale1is, .va = va + 4096}, page), Miss::address);
  EXPECT_EQ(miss({.op = vaale1is, .va = va + 4096}, block), Miss::none) << "any address inside a block";
  EXPECT_EQ(miss({.op = vaale1is, .va = va}, table), Miss::last_level);
  EXPECT_EQ(miss({.op = vae1is, .va = va, .asid = foreign}, table), Miss::asid);
  EXPECT_EQ(miss({.op = vaae1is, .va = va, .asid = foreign}, table), Miss::none);
  EXPECT_EQ(miss({.op = vaale1is, .va = va, .ttl = page_level}, block), Miss::level_hint);
  EXPECT_EQ(miss({.op = vaae1is, .va = va, .ttl = page_level}, table), Miss::level_hint);
  EXPECT_EQ(miss({.op = rvaale1is, .va = va, .pages = 2, .page_shift = 14}, page), Miss::granule);
  EXPECT_EQ(miss({.op = rvaale1is, .va = va, .pages = 2, .page_shift = 0}, page), Miss::granule)
      << "TG reserved";
  EXPECT_EQ(miss({.op = vaale1is, .va = va, .page_shift = 16}, page), Miss::none) << "no hint, no TG";
  EXPECT_EQ(miss({.op = rvaale1is, .va = va - 4096, .pages = 2, .ttl = pmd_level}, block),
            Miss::unpredictable);
}

/// I_TYBWT line by line: page size, DS, TTL, and the highest low bit of the base that must be zero.
TEST(TlbiMiss, UnpredictableRanges) {
  struct Line {
    unsigned page_shift;
    bool lpa2;
    int ttl;
    unsigned top_bit;
    bool literal_only;
  };
  const Line lines[] = {{12, true, 0, 38, true},   {12, true, 1, 29, false},  {12, true, 2, 20, false},
                        {12, false, 1, 29, false}, {12, false, 2, 20, false}, {14, true, 1, 35, false},
                        {14, true, 2, 24, false},  {14, false, 2, 24, false}, {16, false, 1, 41, false},
                        {16, false, 2, 28, false}};
  for (const Regime& r : regimes)
    for (int ttl = 0; ttl <= 3; ++ttl)
      for (unsigned bit = r.range_base_shift; bit < 48; ++bit)
        for (Reading reading : {Reading::linux_kernel, Reading::strict}) {
          Tlbi t{.op = {TlbiTarget::va_all, true, true, true}, .pages = 1 << 21, .page_shift = r.page_shift};
          t.va = VirtAddr(0xfff0'0000'0000'0000 + (std::uint64_t{1} << bit));
          if (ttl != 0) t.ttl = Level{ttl};
          const Level level{ttl == 0 ? 3 : ttl};
          const CachedEntry e{.level = level, .va = t.va.align_down(r.span(level))};
          bool unpredictable = false;
          for (const Line& line : lines)
            unpredictable |= line.page_shift == r.page_shift && line.lpa2 == r.lpa2 && line.ttl == ttl &&
                             bit <= line.top_bit && (!line.literal_only || reading == Reading::strict);
          const bool got = tlbi_miss(r, t, e, reading) == Miss::unpredictable;
          if (got != unpredictable)
            FAIL() << show(r) << " " << show(t) << " reading " << int(reading) << " bit " << bit;
        }
}

/// The contiguous bit enlarges nothing: each member needs an operation over it (R_LQLSD).
TEST(TlbiMiss, AGroupIsRemovedMemberByMember) {
  for (const Regime& r : regimes)
    for (Level level : {page_level, pmd_level}) {
      const VirtAddr group = r.base() + r.contiguous_span(level);
      const Tlbi first{.op = vaale1is, .va = group, .page_shift = r.page_shift};
      EXPECT_EQ(tlbi_miss(r, first, {.level = level, .va = group}), Miss::none);
      EXPECT_EQ(tlbi_miss(r, first, {.level = level, .va = group + r.span(level)}), Miss::address) << show(r);
    }
}

/// A range over the last pages of the kernel half leaves the first user page alone (R_QNPXY).
TEST(TlbiMiss, TheTopOfTheAddressSpace) {
  const Regime r = regime(12, 48);
  const Tlbi t{.op = {TlbiTarget::va_all, true, true, true}, .va = VirtAddr(0) - 4096, .pages = 64};
  EXPECT_EQ(tlbi_miss(r, t, {.level = page_level, .va = VirtAddr(0) - 4096}), Miss::none);
  EXPECT_EQ(tlbi_miss(r, t, {.level = pmd_level, .va = VirtAddr(0) - r.span(pmd_level)}), Miss::none);
  EXPECT_EQ(tlbi_miss(r, t, {.level = page_level, .va = VirtAddr(0), .global = false}), Miss::address);
}

}  // namespace
}  // namespace shootdown::vmsa
