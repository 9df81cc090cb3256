// SPDX-License-Identifier: MIT
// The order of TLB maintenance, strategy by strategy, operation by operation.
// c clear; s DSB ISHST; l r t T A TLBI (page or range, leaves or tables too, all); D DSB ISH; I ISB; d put on the
// list; f F free vmemmap or a table; m memblock; X release of the range.
#include <gtest/gtest.h>

#include "tests/mm/kernel_code.hpp"

namespace shootdown::mm {
namespace {

constexpr PhysAddr memstart{std::uint64_t{1} << 40};

/// Two sections of two pages, far from any edge: what removing them does.
std::string removal(const KernelCode& k, const Strategy& s, bool vmemmap_pages = false,
                    machine::Features features = {}) {
  const MemoryMap map{vmsa::layout(k.r, vmsa::LayoutAge::today), memstart};
  const PhysAddr start = memstart + (std::uint64_t{64} << 30);
  const PhysRange range{start, start + 2 * k.r.section_size()};
  RecordingMachine m(k.r);
  m.no_blocks = vmemmap_pages;
  m.features_ = features;
  EXPECT_TRUE(k.add_memory(m, map, range, mappings[0], {s}));
  m.start_log();
  k.try_remove_memory(m, map, range, {s});
  EXPECT_TRUE(m.faults.empty());
  return m.log;
}
const KernelCode& k4() { return small_section_kernels()[0]; }

std::string times(unsigned n, const std::string& s) {
  std::string all;
  for (unsigned i = 0; i < n; ++i) all += s;
  return all;
}

// 4K pages, 48 bits: vmemmap is one block a section, its two upper tables go with the last section; the linear map
// is four pages in one table, three tables deep.
const std::string table = "cstDIF";

TEST(Sequence, P) {
  EXPECT_EQ(removal(k4(), strategies[0]),
            "cslDIf"
            "cslDIf" +
                times(2, table) + times(4, "cslDI") + times(3, table) + "mX");
}
TEST(Sequence, R0) {
  EXPECT_EQ(removal(k4(), strategies[1]),
            "cslDIf"
            "cslDIf" +
                times(2, table) +
                "cccc"
                "sDI" +
                times(3, table) + "mX");
}
TEST(Sequence, R) {
  EXPECT_EQ(removal(k4(), strategies[2]),
            "cslDIf"
            "cslDIf" +
                times(2, table) +
                "cccc"
                "srDI" +
                times(3, table) + "mX");
}
TEST(Sequence, B) {
  EXPECT_EQ(removal(k4(), strategies[3]),
            "cslDIf"
            "cslDIf" +
                times(2, table) +
                "cccc"
                "srDI" +
                times(3, table) + "mX");
}
TEST(Sequence, L) {
  EXPECT_EQ(removal(k4(), strategies[4]),
            "cdcd"
            "srDI"
            "ff" +
                times(2, table) +
                "cccc"
                "srDI" +
                times(3, table) + "mX");
}
TEST(Sequence, T) {
  EXPECT_EQ(removal(k4(), strategies[5]),
            "cdcdcdcd"
            "cccc"
            "cdcdcd"
            "sTTDI"
            "FFFFFff"
            "mX");
}
TEST(Sequence, FreedBeforeFlush) {
  EXPECT_EQ(removal(k4(), strategies[6]),
            "cslDIf"
            "cslDIf" +
                times(2, "cFstDI") +
                "cccc"
                "srDI" +
                times(3, "cFstDI") + "mX");
}

TEST(Sequence, VmemmapByPagesIsWhereTheRfcFreesFirst) {
  // 512 pages a section.
  EXPECT_EQ(removal(k4(), strategies[2], true).substr(0, 1024 + 4), times(512, "cf") + "srDI");
  EXPECT_EQ(removal(k4(), strategies[1], true).substr(0, 1024 + 3), times(512, "cf") + "sDI");
  EXPECT_EQ(removal(k4(), strategies[3], true).substr(0, 512 * 6), times(512, "cslDIf"));
  EXPECT_EQ(removal(k4(), strategies[4], true).substr(0, 1024), times(512, "cd"));
}

TEST(Sequence, TheErratumRepeatsOncePerCompletion) {
  EXPECT_EQ(removal(k4(), strategies[3], false, {.repeat_tlbi = true}), times(2, "cslDlDIf") +
                                                                            times(2, "cstDlDIF") +
                                                                            "cccc"
                                                                            "srDlDI" +
                                                                            times(3, "cstDlDIF") + "mX");
}

TEST(Sequence, WithoutRangeOperationsPageByPage) {
  EXPECT_EQ(removal(k4(), strategies[3], false, {.range_tlbi = false}), times(2, "cslDIf") + times(2, table) +
                                                                            "cccc"
                                                                            "sllllDI" +
                                                                            times(3, table) + "mX");
}

// ---- properties for every kernel and strategy -------------------------------------------------------------------

TEST(Sequence, NothingIsFreedBeforeAFlushThatFollowsItsClear) {
  for (const KernelCode& k : small_section_kernels()) {
    for (const Strategy& s : strategies) {
      for (bool pages : {false, true}) {
        unsigned early = 0;
        bool dirty = false;  // something was cleared since the last complete flush
        const std::string log = removal(k, s, pages);
        for (std::size_t i = 0; i < log.size(); ++i) {
          if (log[i] == 'c') dirty = true;
          const bool flush = log[i] == 'I' && log[i - 1] == 'D' &&
                             std::string("lrtTA").find(log[i - 2]) != std::string::npos;
          if (flush) dirty = false;
          if ((log[i] == 'f' || log[i] == 'F') && dirty) ++early;
        }
        const bool by_pages = pages || !k.r.vmemmap_uses_blocks();
        const bool guilty =
            s.tables == TableFree::before_flush ||
            (by_pages && (s.vmemmap == LeafFlush::per_table || s.vmemmap == LeafFlush::per_table_cursor));
        EXPECT_EQ(early > 0, guilty) << s.name << " " << k.r.page_shift << (pages ? " pages" : "");
      }
    }
  }
}

TEST(Sequence, MemblockThenReleaseAtTheVeryEnd) {
  for (const KernelCode& k : small_section_kernels())
    for (const Strategy& s : strategies) {
      const std::string log = removal(k, s);
      EXPECT_EQ(log.find('m'), log.size() - 2);
      EXPECT_EQ(log.find('X'), log.size() - 1);
    }
}

TEST(Sequence, HotAddOrdersZeroesBeforeLinks) {
  for (const KernelCode& k : small_section_kernels()) {
    RecordingMachine m(k.r);
    m.start_log();
    const MemoryMap map{vmsa::layout(k.r, vmsa::LayoutAge::today), memstart};
    ASSERT_TRUE(
        k.add_memory(m, map, {memstart, memstart + k.r.section_size()}, mappings[0], {strategies[3]}));
    std::size_t tables = 0;
    for (std::size_t i = 0; i < m.log.size(); ++i) {
      if (m.log[i] != 'z') continue;
      ++tables;
      EXPECT_EQ(m.log.substr(i, 3), "zsw");
    }
    EXPECT_EQ(tables + 1, m.tables());
    EXPECT_EQ(m.log.substr(m.log.size() - 2), "sI") << "invalid to valid: order, and no TLBI";
    EXPECT_TRUE(m.tlbis.empty());
  }
}

TEST(Sequence, TsNumberOfOperationsDoesNotGrow) {
  for (const KernelCode& k : real_kernels()) {
    const MemoryMap map{vmsa::layout(k.r, vmsa::LayoutAge::today), memstart};
    for (std::uint64_t n : {1u, 3u}) {
      RecordingMachine m(k.r);
      const PhysRange range{memstart, memstart + n * k.r.section_size()};
      ASSERT_TRUE(k.add_memory(m, map, range, mappings[2], {strategies[5]}));
      m.start_log();
      k.try_remove_memory(m, map, range, {strategies[5]});
      EXPECT_LT(m.tlbis.size(), 10u);
      for (const vmsa::Tlbi& t : m.tlbis) {
        EXPECT_FALSE(t.op.last_level);
        EXPECT_FALSE(t.ttl) << "tables of several levels are among them";
        EXPECT_EQ(t.op.target, vmsa::TlbiTarget::va_all);
      }
    }
  }
}

}  // namespace
}  // namespace shootdown::mm
