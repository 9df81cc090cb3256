// SPDX-License-Identifier: MIT
// Strategy: as in judge_test.cpp, for what is said of a value that nothing covered: each mistake that can be made in an
// operand is made once, and named. What some other code did is no attempt.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/audit/machine.hpp"

namespace shootdown::audit::test {
namespace {

using testing::HasSubstr;

/// A process's pages, mapped and unmapped; their flush is the test's.
struct Pages : Machine {
  explicit Pages(unsigned count) : count_(count) {
    in("map");
    for (unsigned i = 0; i < count; ++i) store(0, slot(i), leaf(page + 0x1000 * i, true));
    user(0);
  }
  void unmap() {
    in("unmap");
    for (unsigned i = 0; i < count_; ++i) store(0, slot(i), 0);
    dsb_ishst(0);
  }
  void flush(vmsa::VirtAddr va, std::uint16_t of = asid) {
    tlbi(0, {.op = vmsa::vale1is, .va = va, .asid = of});
  }
  void flush_range(unsigned first, std::uint64_t pages) {
    tlbi(0, {.op = {vmsa::TlbiTarget::va, true, true}, .va = user_va(first), .pages = pages, .asid = asid});
  }
  /// The verdict, and what came closest.
  std::string released() {
    dsb_ish(0), in("free");
    for (unsigned i = 0; i < count_; ++i) free_page(0, page + 0x1000 * i);
    user(1);
    std::string text = verdict();
    for (const Violation& v : judge().result().violations)
      for (const std::string& line : v.splat)
        if (line.starts_with("nothing covered it; closest came ")) text += line.substr(33) + "\n";
    return text;
  }

 private:
  static std::uint64_t slot(unsigned i) { return user_leaf_table + 8 * i; }
  unsigned count_;
};

TEST(NearMiss, TheWrongAsid) {
  Pages m(1);
  m.unmap(), m.flush(Machine::user_va(), 7);
  EXPECT_THAT(m.released(), testing::AllOf(HasSubstr("stale-page asid unmap x1"),
                                           HasSubstr("VALE1IS of 0x0: it names ASID 0x7 by CPU 0 in unmap")));
}

TEST(NearMiss, OnePageShort) {
  Pages one_by_one(4);
  one_by_one.unmap();
  for (unsigned i = 0; i < 3; ++i) one_by_one.flush(Machine::user_va(i));
  EXPECT_THAT(one_by_one.released(), testing::AllOf(HasSubstr("stale-page coverage unmap x1"),
                                                    HasSubstr("VALE1IS of 0x2000: it ends just before")));

  Pages range(6);
  range.unmap(), range.flush_range(0, 4);
  EXPECT_THAT(range.released(),
              testing::AllOf(HasSubstr("stale-page coverage unmap x2"),
                             HasSubstr("RVALE1IS of 0x0 and 4 pages in all: it ends just before")));

  Pages first(4);
  first.unmap();
  for (unsigned i = 1; i < 4; ++i) first.flush(Machine::user_va(i));
  EXPECT_THAT(first.released(), HasSubstr("VALE1IS of 0x1000: it begins just behind"));
}

TEST(NearMiss, TheWrongStride) {
  Pages m(5);
  m.unmap();
  for (unsigned i = 0; i < 5; i += 2) m.flush(Machine::user_va(i));
  EXPECT_THAT(m.released(),
              testing::AllOf(HasSubstr("stale-page coverage unmap x2"), HasSubstr("the stride is too wide")));
}

TEST(NearMiss, AnotherAddress) {
  Pages m(1);
  m.unmap(), m.flush(Machine::user_va(0x12345));
  EXPECT_THAT(m.released(), HasSubstr("stale-page coverage unmap x1"));
}

TEST(NearMiss, BeforeTheChange) {
  Pages m(1);
  m.in("unmap"), m.flush(Machine::user_va()), m.dsb_ish(0), m.unmap();
  EXPECT_THAT(m.released(), testing::AllOf(HasSubstr("stale-page tlbi-before-clear unmap x1"),
                                           HasSubstr("it came before the change")));
}

TEST(NearMiss, WhatIsNone) {
  const std::string none = "stale-page no-tlbi unmap x1\n";
  Pages earlier(1);  // a system call of its own
  earlier.in("unmap"), earlier.flush(Machine::user_va()), earlier.dsb_ish(0), earlier.user(0),
      earlier.unmap();
  EXPECT_EQ(earlier.released(), none);

  Pages later(1);
  later.unmap(), later.user(0), later.flush(Machine::user_va(3));
  EXPECT_EQ(later.released(), none);

  Pages other_code(1);  // which had its own to flush, and did
  other_code.in("other"),
      other_code.store(0, Machine::user_leaf_table + 8 * 9, Machine::leaf(Machine::page, true));
  other_code.store(0, Machine::user_leaf_table + 8 * 9, 0), other_code.unmap();
  other_code.flush(Machine::user_va(9));
  EXPECT_EQ(other_code.released(), none);

  Pages other_thread(1);
  other_thread.unmap();
  other_thread.put(0, EventKind::task, 0, 0xffff000000001000), other_thread.flush(Machine::user_va(1));
  EXPECT_EQ(other_thread.released(), none);

  Pages interrupt(1);
  interrupt.unmap();
  interrupt.put(0, EventKind::exception, 1), interrupt.flush(Machine::user_va(1));
  interrupt.put(0, EventKind::exception, 0);
  EXPECT_EQ(interrupt.released(), none);
}

}  // namespace
}  // namespace shootdown::audit::test
