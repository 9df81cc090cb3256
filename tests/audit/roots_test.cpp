// SPDX-License-Identifier: MIT
// Strategy: as in judge_test.cpp, for whose a table is: roots that share a page, and tables that share roots.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>

#include "tests/audit/machine.hpp"

namespace shootdown::audit::test {
namespace {

using testing::HasSubstr;

/// Two processes, each on its CPU: the second one's root is elsewhere, all of it filled in by the test.
struct TwoProcesses : Machine {
  static constexpr std::uint16_t other_asid = 6;

  void switch_to_other(unsigned cpu, std::uint64_t root) {
    put(cpu, EventKind::ttbr1, 0, kernel_root | std::uint64_t{other_asid} << 48);
    put(cpu, EventKind::ttbr0, 0, root);
  }
  void flush(std::uint16_t of) { dsb_ishst(0), tlbi(0, {.op = vmsa::aside1is, .asid = of}), dsb_ish(0); }
};

/// Their roots side by side at the start of a page; the second one's table is unlinked, on CPU 1.
struct Small : TwoProcesses {
  explicit Small(unsigned va_bits, std::uint64_t size) : first(ram + 0x60000), second(first + size) {
    for (unsigned cpu : {0u, 1u}) put(cpu, EventKind::tcr, 0, (tcr & ~std::uint64_t{63}) | (64 - va_bits));
    put(0, EventKind::table, 1, first, size);
    put(0, EventKind::table, 1, second, size);
    put(0, EventKind::table, 2, below);
    put(0, EventKind::ttbr0, 0, first);
    switch_to_other(1, second);
    in("fault"), store(1, second, table(below));
    in("unlink"), store(1, second, 0);
  }
  static constexpr std::uint64_t below = ram + 0x70000;
  std::uint64_t first;
  std::uint64_t second;
};

// The page of a root that does not fill it belongs to its neighbours as well.
TEST(SmallRoot, ThatStartsAPageHasNeighbours) {
  for (const std::uint64_t bytes : {16, 64, 128}) {
    const auto bits = 39 + static_cast<unsigned>(std::countr_zero(bytes / 8));
    Small flushed(bits, bytes);
    flushed.dsb_ishst(1), flushed.tlbi(1, {.op = vmsa::aside1is, .asid = TwoProcesses::other_asid});
    flushed.dsb_ish(1), flushed.in("free"), flushed.free_page(1, Small::below);
    EXPECT_EQ(flushed.verdict(), "") << bytes;

    Small not_flushed(bits, bytes);
    not_flushed.dsb_ishst(1), not_flushed.tlbi(1, {.op = vmsa::aside1is, .asid = Machine::asid});
    not_flushed.dsb_ish(1), not_flushed.in("free"), not_flushed.free_page(1, Small::below);
    EXPECT_THAT(not_flushed.verdict(), HasSubstr("stale-table ")) << bytes;

    // A root that is gone takes none of its neighbours with it, and beyond the roots is no table.
    Small freed(bits, bytes);
    freed.put(0, EventKind::release, static_cast<unsigned>(Release::root), freed.first, bytes);
    freed.in("link"), freed.store(1, freed.second, Machine::table(Small::below));
    freed.store(1, freed.second + bytes, Machine::table(Small::below + 0x1000));
    freed.in("free"), freed.free_page(1, Small::below), freed.free_page(1, Small::below + 0x1000);
    EXPECT_THAT(freed.verdict(),
                testing::AllOf(HasSubstr("stale-table freed-early free x1"), testing::Not(HasSubstr("x2"))))
        << bytes;
  }
}

// hugetlb's processes share a table of blocks: it is linked until the last of them has let go.
struct SharedTable : TwoProcesses {
  static constexpr std::uint64_t root = ram + 0x21000;
  static constexpr std::uint64_t pud = ram + 0x22000;
  static constexpr std::uint64_t shared = ram + 0x23000;
  static constexpr std::uint64_t link = user_root + 0x1000 + 8;
  static constexpr std::uint64_t other_link = pud + 8;

  SharedTable() {
    put(0, EventKind::table, 1, root, 0x1000);
    put(0, EventKind::table, 2, pud);
    put(0, EventKind::content, 0, root, table(pud));
    put(0, EventKind::table, 3, shared);
    switch_to_other(1, root);
    in("share"), store(0, link, table(shared)), store(0, other_link, table(shared));
    in("unshare");
  }
  std::string freed() {
    in("free"), free_page(0, shared);
    return verdict();
  }
};

TEST(SharedTable, IsLinkedUntilTheLastHasLetGo) {
  SharedTable first_only, other_only, both, no_flush;
  first_only.store(0, SharedTable::link, 0), first_only.flush(Machine::asid);
  EXPECT_EQ(first_only.freed(), "stale-table freed-early free x1\n");
  other_only.store(0, SharedTable::other_link, 0), other_only.flush(SharedTable::other_asid);
  EXPECT_EQ(other_only.freed(), "stale-table freed-early free x1\n");
  both.store(0, SharedTable::link, 0), both.store(0, SharedTable::other_link, 0);
  both.flush(Machine::asid), both.flush(SharedTable::other_asid);
  EXPECT_EQ(both.freed(), "");
  no_flush.store(0, SharedTable::link, 0), no_flush.store(0, SharedTable::other_link, 0);
  no_flush.flush(Machine::asid);
  EXPECT_THAT(no_flush.freed(), HasSubstr("stale-table "));
}

TEST(SharedTable, ItsBlocksAreEachProcesss) {
  for (const bool both : {false, true}) {
    SharedTable m;
    const std::uint64_t block = Machine::ram + 0x400000;
    m.in("fault"), m.store(0, SharedTable::shared, Machine::user_block(block));
    m.in("unmap"), m.store(0, SharedTable::shared, 0);
    m.flush(Machine::asid);
    if (both) m.flush(SharedTable::other_asid);
    m.in("free"), m.free_page(0, block);
    m.user(0), m.user(1);
    EXPECT_EQ(m.verdict().empty(), both) << m.verdict();
  }
}

// One process has let go and not flushed: what the other stores there now, its CPUs may take for their own.
TEST(SharedTable, IsStillWalkedByWhoLetGo) {
  SharedTable m;
  m.store(0, SharedTable::other_link, 0);
  const std::uint64_t block = Machine::ram + 0x400000;
  m.in("fault"), m.store(0, SharedTable::shared, Machine::user_block(block));
  m.in("unmap"), m.store(0, SharedTable::shared, 0), m.flush(Machine::asid);
  m.in("free"), m.free_page(0, block), m.user(1);
  EXPECT_THAT(m.verdict(), HasSubstr("stale-page no-tlbi fault"));
}

// Page-table isolation: the kernel runs with the process's even ASID, user code with the odd one, on a root of its own.
struct Isolated : Machine {
  static constexpr std::uint16_t even = 8;
  static constexpr std::uint64_t trampoline = ram + 0x40000;

  Isolated() {
    put(0, EventKind::table, 1, trampoline, 0x1000);
    for (unsigned cpu : {0u, 1u}) {
      put(cpu, EventKind::ttbr1, 0, kernel_root | std::uint64_t{even} << 48);
      put(cpu, EventKind::ttbr0, 0, user_root);
      to_user(cpu), from_user(cpu);
    }
    in("map"), store(0, user_leaf_table, leaf(page, true));
    in("unmap"), store(0, user_leaf_table, 0), dsb_ishst(0);
  }
  void to_user(unsigned cpu) { put(cpu, EventKind::ttbr1, 0, trampoline | std::uint64_t{even | 1} << 48); }
  void from_user(unsigned cpu) {
    user(cpu);
    put(cpu, EventKind::ttbr1, 0, kernel_root | std::uint64_t{even} << 48);
  }
  void flush(std::uint16_t of) { tlbi(0, {.op = vmsa::vale1is, .va = user_va(), .asid = of}); }
  std::string released() {
    dsb_ish(0), in("free"), free_page(0, page);
    to_user(1), from_user(1);
    return verdict();
  }
};

TEST(Isolated, BothOfAProcesssAsidsAreFlushed) {
  Isolated both, kernel_only, user_only, none;
  both.flush(Isolated::even), both.flush(Isolated::even | 1);
  EXPECT_EQ(both.released(), "");
  kernel_only.flush(Isolated::even);
  EXPECT_EQ(kernel_only.released(), "stale-page asid unmap x1\n");
  user_only.flush(Isolated::even | 1);
  EXPECT_EQ(user_only.released(), "stale-page asid unmap x1\n");
  EXPECT_EQ(none.released(), "stale-page no-tlbi unmap x2\n");
}

TEST(Isolated, AnOddAsidAloneIsAnyProcesss) {
  Machine m;
  m.put(0, EventKind::ttbr1, 0, Machine::kernel_root | std::uint64_t{8} << 48);
  m.put(0, EventKind::ttbr1, 0, Machine::kernel_root | std::uint64_t{9} << 48),
      m.put(0, EventKind::ttbr0, 0, Machine::user_root);
  m.in("map"), m.store(0, Machine::user_leaf_table, Machine::leaf(Machine::page, true));
  m.in("unmap"), m.store(0, Machine::user_leaf_table, 0), m.dsb_ishst(0);
  m.tlbi(0, {.op = vmsa::vale1is, .va = Machine::user_va(), .asid = 9}), m.dsb_ish(0);
  m.in("free"), m.free_page(0, Machine::page), m.user(0);
  EXPECT_EQ(m.verdict(), "");
}

}  // namespace
}  // namespace shootdown::audit::test
