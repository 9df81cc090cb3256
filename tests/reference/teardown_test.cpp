// SPDX-License-Identifier: MIT
// The explorer against the hand-written teardown: as many states, as many transitions, as many ends. More states
// would be over-splitting, fewer would be unsound.
#include <gtest/gtest.h>

#include "explore/search.hpp"
#include "tests/reference/same_system.hpp"
#include "tests/reference/teardown_case.hpp"
#include "tests/reference/teardown_machine.hpp"

namespace shootdown::reference {
namespace {

using Kind = Instruction::Kind;

constexpr std::uint8_t leaf(unsigned i) { return static_cast<std::uint8_t>(1u << i); }
constexpr std::uint8_t table(unsigned i) { return static_cast<std::uint8_t>(1u << (leaf_count + i)); }

void append_reads(Program& p, unsigned n) { p.insert(p.end(), n, {Kind::read}); }
void append_flush(Program& p, std::uint8_t mask) {
  p.insert(p.end(), {{Kind::dsb_ishst}, {Kind::tlbi, mask}, {Kind::dsb_ish}, {Kind::isb}});
}

/// Every leaf: clear, flush, give the page behind it away.
Program per_leaf() {
  Program p;
  append_reads(p, 1);
  for (unsigned i = 0; i < 2; ++i) {
    append_reads(p, 1);
    p.push_back({Kind::clear, leaf(i)});
    append_flush(p, leaf(i));
    p.push_back({Kind::release, 0, static_cast<std::uint8_t>(i)});
  }
  return p;
}

/// All leaves, one flush, then table after table: empty? unlink, flush and free in one order or the other.
Program whole_range(unsigned tables, bool free_first) {
  Program p;
  std::uint8_t leaves = 0;
  for (unsigned t = 0; t < tables; ++t) {
    append_reads(p, 1);
    for (unsigned i = 2 * t; i < 2 * t + 2; ++i) {
      append_reads(p, 1);
      p.push_back({Kind::clear, leaf(i)});
      leaves |= leaf(i);
    }
  }
  append_flush(p, leaves);
  for (unsigned t = 0; t < tables; ++t) {
    append_reads(p, 1 + 2 + 8);
    p.push_back({Kind::clear, table(t)});
    const Instruction release{Kind::release, 0, static_cast<std::uint8_t>(t)};
    if (free_first) p.push_back(release);
    append_flush(p, static_cast<std::uint8_t>(table(t) | leaf(2 * t)));
    if (!free_first) p.push_back(release);
  }
  return p;
}

TEST(Teardown, PerLeafBesideLoads) {
  const TeardownMachine reference({.program = per_leaf(),
                                   .mapped = 0x13,
                                   .load_from = {0, 1, 0, 1},
                                   .loaders = 2,
                                   .tables_are_pages = false});
  expect_same_system(count(reference), set_up({.leaves = mm::LeafFlush::each_leaf,
                                               .free_mapped = true,
                                               .free_tables = false,
                                               .table_count = 1,
                                               .load_from = {6, 7, 6, 7},
                                               .loaders = 2}));
}

TEST(Teardown, WholeRangeAndTablesThatAreReused) {
  const TeardownMachine reference(
      {.program = whole_range(2, false), .load_from = {0, 3, 1, 2}, .loaders = 1, .reusers = 2});
  expect_same_system(count(reference), set_up({.load_from = {6, 9, 7, 8}, .loaders = 1, .reusers = 2}));
}

// Hardware walks through the stale table entry into the page's next life: flags written, words taken for leaves.
TEST(Teardown, FreedBeforeFlushWithHardwareFlagUpdates) {
  const TeardownMachine reference({.program = whole_range(1, true),
                                   .mapped = 0x13,
                                   .load_from = {Teardown::first_word, 0, Teardown::first_word},
                                   .loaders = 1,
                                   .reusers = 1,
                                   .words = 3});
  expect_same_system(count(reference), set_up({.tables = mm::TableFree::before_flush,
                                               .table_count = 1,
                                               .load_from = {0, 6, 0},
                                               .loaders = 1,
                                               .reusers = 1,
                                               .words = 3}));
}

/// How much finer the model splits a setup than the reference does.
double over_split(TeardownSetup setup, const Counts& reference) {
  setup.declare_live = false;
  model::System system(set_up(setup));
  return static_cast<double>(explore_all(system).states) / static_cast<double>(reference.states);
}

// A loop with an accumulator is where a history says more than its live values. Sound all the same, only larger.
TEST(Teardown, UndeclaredAccumulatorsOverSplit) {
  const TeardownMachine reference(
      {.program = whole_range(2, false), .load_from = {0, 3, 1, 2, 0, 3}, .loaders = 2});
  const TeardownSetup setup{.load_from = {6, 9, 7, 8, 6, 9}, .loaders = 2};
  const Counts counts = count(reference);
  expect_same_system(counts, set_up(setup));
  const double factor = over_split(setup, counts);
  EXPECT_GT(factor, 1.0);
  RecordProperty("over_split", std::to_string(factor));
}

}  // namespace
}  // namespace shootdown::reference
