// SPDX-License-Identifier: MIT
// Strategy: as in judge_test.cpp, for break-before-make: whatever becomes reachable over a value that is
// still held, at every level, in place or behind a table; beside each the sequence that is right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/audit/machine.hpp"

namespace shootdown::audit::test {
namespace {

using testing::HasSubstr;

constexpr auto slot = [](std::uint64_t table, unsigned i = 0) { return table + 8 * i; };

// A block and the table that takes its place: the size changes, whatever the table holds.
struct Block : Machine {
  static constexpr std::uint64_t pmd_slot = user_root + 0x2000 + 8;
  static constexpr std::uint64_t block = ram + 0x400000;
  static constexpr std::uint64_t below = ram + 0x15000;

  Block() {
    in("fault");
    store(0, pmd_slot, user_block(block));
    put(0, EventKind::table, 4, below);
    for (unsigned i = 0; i < 512; ++i)
      put(0, EventKind::content, 0, below + 8 * i, leaf(block + 0x1000 * i, true));
    in("split");
  }
  void flush() { dsb_ishst(0), tlbi(0, {.op = vmsa::vae1is, .va = user_va(512), .asid = asid}), dsb_ish(0); }
};

TEST(BreakBeforeMake, AnotherAddressInPlace) {
  Machine m;
  m.in("map");
  m.store(0, slot(Machine::kernel_leaf_table), Machine::leaf(Machine::page, false));
  m.in("replace");
  m.store(0, slot(Machine::kernel_leaf_table), Machine::leaf(Machine::page + 0x1000, false));
  EXPECT_EQ(m.verdict(), "break-before-make no-tlbi replace x1\n");
}

TEST(BreakBeforeMake, ATableOverABlock) {
  Block in_place;
  in_place.store(0, Block::pmd_slot, Machine::table(Block::below));
  EXPECT_EQ(in_place.verdict(), "break-before-make no-tlbi split x1\n");
  EXPECT_THAT(in_place.judge().result().violations.at(0).splat,
              testing::Contains(HasSubstr("replaced in place by")));

  Block not_flushed;
  not_flushed.store(0, Block::pmd_slot, 0),
      not_flushed.store(0, Block::pmd_slot, Machine::table(Block::below));
  EXPECT_EQ(not_flushed.verdict(), "break-before-make no-tlbi split x1\n");

  Block by_the_book;
  by_the_book.store(0, Block::pmd_slot, 0), by_the_book.flush();
  by_the_book.store(0, Block::pmd_slot, Machine::table(Block::below));
  EXPECT_EQ(by_the_book.verdict(), "");

  Block empty;  // its leaves come one by one
  empty.put(0, EventKind::table, 4, Block::below + 0x1000);
  empty.store(0, Block::pmd_slot, 0), empty.store(0, Block::pmd_slot, Machine::table(Block::below + 0x1000));
  EXPECT_EQ(empty.verdict(), "break-before-make no-tlbi split x1\n");
}

TEST(BreakBeforeMake, ATableOverATable) {
  Block moved;  // khugepaged without its flush
  moved.store(0, Block::pmd_slot, Machine::table(Block::below)), moved.flush();
  moved.put(0, EventKind::table, 4, Block::below + 0x1000);
  moved.in("collapse");
  moved.store(0, Block::pmd_slot, Machine::table(Block::below + 0x1000));
  EXPECT_THAT(moved.verdict(), HasSubstr("break-before-make no-tlbi collapse"));

  Block block;
  block.store(0, Block::pmd_slot, 0), block.flush();
  block.store(0, Block::pmd_slot, Machine::table(Block::below));
  block.in("collapse");
  block.store(0, Block::pmd_slot, 0), block.store(0, Block::pmd_slot, Machine::user_block(Block::block));
  EXPECT_THAT(block.verdict(), HasSubstr("break-before-make no-tlbi collapse"));
}

// What hangs below a table is reachable with it, two levels down and over a single stale page.
TEST(BreakBeforeMake, ALeafBelowANewTable) {
  for (const bool flushed : {false, true}) {
    Machine m;
    m.in("map"), m.store(0, slot(Machine::user_leaf_table), Machine::leaf(Machine::page, true));
    m.in("unmap"), m.store(0, slot(Machine::user_leaf_table), 0);
    if (flushed)
      m.dsb_ishst(0), m.tlbi(0, {.op = vmsa::vae1is, .va = Machine::user_va(), .asid = Machine::asid}),
          m.dsb_ish(0);
    // The tables above it are replaced; those are flushed.
    m.in("unlink"), m.store(0, slot(Machine::user_root), 0);
    for (unsigned i = 1; i < 4; ++i) m.put(0, EventKind::table, i + 1, Machine::ram + 0x51000 + 0x1000 * i);
    m.put(0, EventKind::content, 0, Machine::ram + 0x52000, Machine::table(Machine::ram + 0x53000));
    m.put(0, EventKind::content, 0, Machine::ram + 0x53000, Machine::table(Machine::ram + 0x54000));
    m.put(0, EventKind::content, 0, Machine::ram + 0x54000, Machine::leaf(Machine::page + 0x1000, true));
    if (flushed)
      m.dsb_ishst(0), m.tlbi(0, {.op = vmsa::vae1is, .va = Machine::user_va(), .asid = Machine::asid}),
          m.dsb_ish(0);
    m.in("link"), m.store(0, slot(Machine::user_root), Machine::table(Machine::ram + 0x52000));
    if (flushed)
      EXPECT_EQ(m.verdict(), "");
    else
      EXPECT_EQ(m.verdict(), "break-before-make no-tlbi link x4\n") << "three tables, one page";
  }
}

// The one who wrote it is at fault, whoever had the old one before: one bug, one title.
TEST(BreakBeforeMake, IsTitledByWhoWroteTheConflictingOne) {
  Machine m;
  const std::uint64_t young = Machine::leaf(Machine::page, false);
  const std::uint64_t old = young & ~vmsa::Descriptor::accessed_bit;
  for (const unsigned i : {0u, 1u}) {
    m.in("map"), m.store(0, slot(Machine::kernel_leaf_table, i), young);
    if (i == 1) m.in("damon_ptep_mkold"), m.store(0, slot(Machine::kernel_leaf_table, i), old);
    m.in("remap"),
        m.store(0, slot(Machine::kernel_leaf_table, i), Machine::leaf(Machine::page + 0x5000, false));
  }
  EXPECT_EQ(m.verdict(), "break-before-make no-tlbi remap x2\n");
  EXPECT_THAT(m.judge().result().violations.at(0).splat.at(0), HasSubstr("break-before-make in remap+0x0"));
}

TEST(BreakBeforeMake, PermissionsMayChangeInPlace) {
  Machine m;
  const std::uint64_t writable = Machine::leaf(Machine::page, false);
  m.in("map");
  m.store(0, slot(Machine::kernel_leaf_table), writable);
  m.store(0, slot(Machine::kernel_leaf_table), writable | vmsa::Descriptor::read_only_bit);
  m.in("free");
  m.free_page(0, Machine::page);
  EXPECT_EQ(m.verdict(), "") << "the tables still lead there";
}

}  // namespace
}  // namespace shootdown::audit::test
