// SPDX-License-Identifier: MIT
// Strategy: the prediction against the published table, the range vectors, and against the
// procedures themselves, run to the end on a machine that only counts, over every regime and strategy.
#include "scenario/expected_counts.hpp"

#include <gtest/gtest.h>

#include <string>

#include "mm/hot_add.hpp"
#include "mm/vmalloc.hpp"
#include "tests/scenario/counting_machine.hpp"

namespace shootdown::scenario {
namespace {

using vmsa::PhysAddr;
using vmsa::PhysRange;
using vmsa::VirtAddr;

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

std::uint64_t tlbi(const ExpectedCounts& e, vmsa::TlbiOp op) { return e.counts.tlbi[vmsa::tlbi_index(op)]; }
std::uint64_t range_tlbi(const ExpectedCounts& e, vmsa::TlbiOp op) {
  op.range = true;
  return tlbi(e, op);
}
std::uint64_t tlbi_total(const ExpectedCounts& e) {
  std::uint64_t n = 0;
  for (std::uint64_t count : e.counts.tlbi) n += count;
  return n;
}

/// N GiB far from the edges of every table, nothing else mapped, whole multiples of 4096 GiB apart from zero.
RemovalCase plain(unsigned page_shift, std::uint64_t n, const char* strategy) {
  RemovalCase c;
  c.regime = vmsa::regime(page_shift, 48);
  c.range = {PhysAddr(4096 * gib), PhysAddr((4096 + n) * gib)};
  c.strategy = strategy;
  return c;
}

struct Published {
  unsigned page_shift;
  std::uint64_t leaves, tables, next_level_gib, vmemmap_leaves, range_limit_gib;
};
// Counts of the design, a GiB each; `next_level_gib` is what one table of the next level serves.
constexpr Published published[] = {
    {12, 262144, 512, 1, 8, 8}, {14, 65536, 32, 64, 256, 32}, {16, 16384, 2, 4096, 16, 128}};

TEST(ExpectedCounts, ThePublishedTable) {
  for (const Published& p : published)
    for (std::uint64_t n : {1u, 2u, 8u, 64u, 480u, 4096u}) {
      SCOPED_TRACE(std::to_string(p.page_shift) + " " + std::to_string(n));
      const ExpectedCounts per_leaf = expected_counts(plain(p.page_shift, n, "P"));
      EXPECT_EQ(per_leaf.linear_leaves, p.leaves * n);
      EXPECT_EQ(per_leaf.vmemmap_leaves, p.vmemmap_leaves * n);
      EXPECT_EQ(tlbi(per_leaf, vmsa::vaale1is), (p.leaves + p.vmemmap_leaves) * n);
      EXPECT_GE(per_leaf.linear_tables_freed, p.tables * n + n / p.next_level_gib);
      EXPECT_EQ(tlbi(per_leaf, vmsa::vaae1is), per_leaf.counts.tables_freed);

      const ExpectedCounts batched = expected_counts(plain(p.page_shift, n, "B"));
      EXPECT_EQ(range_tlbi(batched, vmsa::vaale1is), n <= p.range_limit_gib          ? 1u
                                                     : n == 64 && p.page_shift == 16 ? 1u
                                                                                     : 0u);
      EXPECT_EQ(tlbi(batched, vmsa::vmalle1is), n <= p.range_limit_gib ? 0u : 1u);
      EXPECT_EQ(tlbi(batched, vmsa::vaale1is), p.vmemmap_leaves * n);
      EXPECT_EQ(batched.counts.descriptor_stores, per_leaf.counts.descriptor_stores);

      const ExpectedCounts intended = expected_counts(plain(p.page_shift, n, "R"));
      const ExpectedCounts posted = expected_counts(plain(p.page_shift, n, "R0"));
      EXPECT_EQ(tlbi_total(posted), posted.counts.tables_freed + (p.page_shift == 12 ? 8 * n : 0));
      EXPECT_EQ(posted.counts.dsb, intended.counts.dsb);
      EXPECT_EQ(posted.counts.isb, intended.counts.isb);
    }
}

TEST(ExpectedCounts, RangeFlushesOfTheIntendedRfc) {
  for (const Published& p : published) {
    RemovalCase c = plain(p.page_shift, 1, "R");
    const std::uint64_t vmemmap_calls = p.page_shift == 12 ? 0 : p.page_shift == 14 ? 8 : 2;
    EXPECT_EQ(range_tlbi(expected_counts(c), vmsa::vaale1is), p.tables + vmemmap_calls);
  }
}

/// With 1 GiB of boot memory in front, as `boot` has it: the counts of a real kernel's unplug (513 tables).
TEST(ExpectedCounts, OneGibibyteBesideBootMemory) {
  RemovalCase c;
  c.memstart = PhysAddr(gib);
  c.range = {PhysAddr(2 * gib), PhysAddr(3 * gib)};
  c.neighbours = {{PhysAddr(gib), PhysAddr(2 * gib)}};
  c.vmalloc_neighbour = true;
  const ExpectedCounts e = expected_counts(c);
  EXPECT_EQ(e.counts.tables_freed, 513u);
  EXPECT_EQ(e.tables_retained, 0u);
  EXPECT_EQ(e.counts.descriptor_stores, 262665u);
  EXPECT_EQ(range_tlbi(e, vmsa::vaale1is), 1u);
  EXPECT_EQ(tlbi(e, vmsa::vaale1is), 8u);
  EXPECT_EQ(e.counts.isb, 513u + 8 + 1);
}

TEST(ExpectedCounts, StrategyTNeedsFewerThanTenAtAnySize) {
  for (const Published& p : published)
    for (std::uint64_t n : {1u, 3u, 7u, 8u, 13u, 127u, 480u, 4096u})
      for (bool range : {true, false}) {
        RemovalCase c = plain(p.page_shift, n, "T");
        c.range_tlbi = range;
        EXPECT_LT(tlbi_total(expected_counts(c)), 10u);
      }
}

TEST(ExpectedCounts, RangeVectors) {
  constexpr std::uint64_t vectors[][2] = {
      {2, 1},   {3, 2},   {16, 1},   {31, 2},   {32, 1},    {33, 2},     {63, 2},      {64, 1},
      {511, 3}, {512, 1}, {1000, 2}, {4097, 2}, {65535, 4}, {131071, 5}, {2097151, 5}, {2097152, 1}};
  for (const auto& [pages, operations] : vectors) {
    const RangeOperations n = range_operations(vmsa::regime(12, 48), VirtAddr(0xffff000000001000), pages);
    EXPECT_EQ(n.single + n.range, operations) << pages;
  }
  // LPA2: 15 pages up to the boundary, then 16 pages as one range.
  const RangeOperations n = range_operations(vmsa::regime(12, 52), VirtAddr(0xfff0000000001000), 31);
  EXPECT_EQ(n.single, 15u);
  EXPECT_EQ(n.range, 1u);
}

/// Everything that decides counts, for one run of the procedures.
struct Geometry {
  vmsa::LayoutAge layout;
  bool neighbours;
  std::uint64_t start_section;
  std::uint64_t section_count;
};

template <vmsa::Regime R>
class Procedures {
 public:
  explicit Procedures(const Geometry& g) : g_(g) {
    map_ = {vmsa::layout(R, g.layout), PhysAddr(gib)};
    const PhysAddr boot_end(gib + R.section_size());
    range_.start = PhysAddr(gib + (1 + g.start_section) * R.section_size());
    range_.end = range_.start + g.section_count * R.section_size();
    boot_ = {PhysAddr(gib), boot_end};
  }

  void compare_all() {
    for (const mm::Strategy& strategy : mm::strategies)
      for (const mm::Mapping& mapping : mm::mappings)
        for (const auto& [rule, name] : rules)
          for (unsigned bits : {0u, 1u, 2u, 4u, 7u}) compare(strategy, mapping, rule, name, bits);
  }

 private:
  static constexpr std::pair<mm::TableRule, const char*> rules[] = {
      {mm::TableRule::floor_ceiling, "floor-ceiling"}, {mm::TableRule::v7, "v7"}};

  void compare(const mm::Strategy& strategy, const mm::Mapping& mapping, mm::TableRule rule,
               const char* rule_name, unsigned bits) {
    // contpte counts as pages do, and V7's rule has nothing to do with features.
    if (bits != 0 && (&mapping == &mm::mappings[1] || rule == mm::TableRule::v7)) return;
    RemovalCase c{.regime = R,
                  .layout = g_.layout,
                  .memstart = map_.memstart,
                  .range = range_,
                  .strategy = strategy.name,
                  .mapping = mapping.name,
                  .table_rule = rule_name};
    c.range_tlbi = (bits & 1) == 0;
    c.repeat_tlbi = (bits & 2) != 0;
    c.vmemmap_pages = (bits & 4) != 0;
    if (g_.neighbours) c.neighbours = {boot_};
    c.vmalloc_neighbour = g_.neighbours;

    CountingMachine m(R, {.range_tlbi = c.range_tlbi, .repeat_tlbi = c.repeat_tlbi});
    m.vmemmap_pages = c.vmemmap_pages;
    const mm::RemovePlan plan{strategy, rule};
    if (g_.neighbours) {
      mm::add_memory<R>(m, map_, boot_, mapping, plan);
      mm::vmap_page<R>(m, map_.layout.vmalloc_end - R.page_size(), PhysAddr(0x1000000));
    }
    const std::int64_t tables = m.table_balance;
    mm::add_memory<R>(m, map_, range_, mapping, plan);
    m.counts = {};
    mm::try_remove_memory<R>(m, map_, range_, plan);

    const ExpectedCounts e = expected_counts(c);
    ASSERT_EQ(e.counts, m.counts) << describe(c) << difference(e.counts, m.counts);
    ASSERT_EQ(static_cast<std::int64_t>(e.tables_retained), m.table_balance - tables) << describe(c);
    ASSERT_EQ(m.warnings, 0u) << describe(c);
  }

  static std::string difference(const report::Counts& a, const report::Counts& b) {
    std::string s;
    auto add = [&](const char* name, std::uint64_t x, std::uint64_t y) {
      if (x != y)
        s += std::string(name) + " expected " + std::to_string(x) + " counted " + std::to_string(y) + "; ";
    };
    for (std::size_t i = 0; i < a.tlbi.size(); ++i)
      add(vmsa::tlbi_name(vmsa::tlbi_ops[i]).c_str(), a.tlbi[i], b.tlbi[i]);
    for (std::size_t i = 0; i < a.dsb.size(); ++i) add(machine::dsb_names[i], a.dsb[i], b.dsb[i]);
    add("isb", a.isb, b.isb);
    add("stores", a.descriptor_stores, b.descriptor_stores);
    add("tables", a.tables_freed, b.tables_freed);
    return s;
  }
  std::string describe(const RemovalCase& c) const {
    return std::to_string(R.page_shift) + "/" + std::to_string(R.va_bits) + " " + std::string(c.strategy) +
           " " + std::string(c.mapping) + " " + std::string(c.table_rule) +
           (c.range_tlbi ? "" : " no-range") + (c.repeat_tlbi ? " repeat" : "") +
           (c.vmemmap_pages ? " vmemmap-pages" : "") + (g_.layout == vmsa::LayoutAge::old ? " old" : "") +
           (g_.neighbours ? " neighbours" : "") + " at " + std::to_string(g_.start_section) + "+" +
           std::to_string(g_.section_count) + ": ";
  }

  Geometry g_;
  mm::MemoryMap map_;
  PhysRange range_, boot_;
};

template <unsigned I>
void compare_regime() {
  constexpr vmsa::Regime r = vmsa::regimes[I];
  for (vmsa::LayoutAge age : {vmsa::LayoutAge::today, vmsa::LayoutAge::old}) {
    if (!vmsa::has_layout(r, age)) continue;
    for (bool neighbours : {false, true}) {
      Procedures<r>({age, neighbours, 0, 1}).compare_all();
      Procedures<r>({age, neighbours, 2, 2}).compare_all();
    }
  }
}

TEST(ExpectedCounts, EqualThoseOfTheProcedures4K39) { compare_regime<0>(); }
TEST(ExpectedCounts, EqualThoseOfTheProcedures4K48) { compare_regime<1>(); }
TEST(ExpectedCounts, EqualThoseOfTheProcedures4K52) { compare_regime<2>(); }
TEST(ExpectedCounts, EqualThoseOfTheProcedures16K36) { compare_regime<3>(); }
TEST(ExpectedCounts, EqualThoseOfTheProcedures16K47) { compare_regime<4>(); }
TEST(ExpectedCounts, EqualThoseOfTheProcedures16K48) { compare_regime<5>(); }
TEST(ExpectedCounts, EqualThoseOfTheProcedures16K52) { compare_regime<6>(); }
TEST(ExpectedCounts, EqualThoseOfTheProcedures64K42) { compare_regime<7>(); }
TEST(ExpectedCounts, EqualThoseOfTheProcedures64K48) { compare_regime<8>(); }
TEST(ExpectedCounts, EqualThoseOfTheProcedures64K52) { compare_regime<9>(); }

}  // namespace
}  // namespace shootdown::scenario
