// SPDX-License-Identifier: MIT
// The arithmetic of expected_counts.hpp.
#include "scenario/expected_counts.hpp"

#include <algorithm>
#include <array>
#include <cassert>

namespace shootdown::scenario {

namespace {

using vmsa::Level;
using vmsa::PhysRange;
using vmsa::Regime;
using vmsa::TlbiOp;
using vmsa::VirtAddr;
using vmsa::VirtRange;

/// A run of equal leaves.
struct Run {
  VirtRange range;
  Level level;
  std::uint64_t count(const Regime& r) const { return range.size() >> r.span_shift(level); }
};

/// The two regions of a removal, with their leaves in ascending order.
struct Region {
  VirtRange bounds;   ///< floor and ceiling
  VirtRange removed;  ///< what is torn down
  std::vector<Run> runs;
  std::vector<VirtRange> others;  ///< what stays mapped, in this region or beside it
  bool may_free_tables = true;
  bool bounded = true;  ///< floor and ceiling apply

  std::uint64_t leaves(const Regime& r) const {
    std::uint64_t n = 0;
    for (const Run& run : runs) n += run.count(r);
    return n;
  }
};

VirtRange linear_range(const RemovalCase& c, const vmsa::Layout& l, PhysRange p) {
  return {l.linear.start + (p.start - c.memstart), l.linear.start + (p.end - c.memstart)};
}
VirtRange vmemmap_range(const RemovalCase& c, const vmsa::Layout& l, PhysRange p) {
  const auto at = [&](vmsa::PhysAddr pa) {
    return l.vmemmap.start + (pa - c.memstart) / c.regime.page_size() * c.regime.struct_page_size();
  };
  return {at(p.start), at(p.end)};
}

/// The largest leaves first: level 1 blocks where a whole one fits, level 2 blocks before and after, pages at
/// both ends. A block needs VA and PA aligned alike. Contiguous members are single leaves.
std::vector<Run> linear_runs(const RemovalCase& c, VirtRange range) {
  const Regime& r = c.regime;
  std::vector<Level> levels{vmsa::page_level};
  if (c.mapping == "blocks" || c.mapping == "contpmd") levels.push_back(vmsa::pmd_level);
  if (c.mapping == "blocks") levels.push_back(vmsa::pud_level);
  const std::uint64_t skew = range.start.value ^ c.range.start.value;

  std::vector<Run> before, after;
  VirtRange rest = range;
  Level inner = vmsa::page_level;
  for (Level level : levels) {
    if (level == vmsa::page_level) continue;
    const std::uint64_t span = r.span(level);
    if (!r.has_block(level) || (skew & (span - 1)) != 0) continue;
    const VirtRange whole{rest.start.align_up(span), rest.end.align_down(span)};
    if (whole.start >= whole.end) break;
    if (rest.start != whole.start) before.push_back({{rest.start, whole.start}, inner});
    if (rest.end != whole.end) after.push_back({{whole.end, rest.end}, inner});
    rest = whole;
    inner = level;
  }
  before.push_back({rest, inner});
  before.insert(before.end(), after.rbegin(), after.rend());
  return before;
}

/// Do empty vmemmap tables stay because V7 found vmalloc and vmemmap under one top-level entry?
bool v7_keeps_vmemmap_tables(const RemovalCase& c, const vmsa::Layout& l) {
  const std::uint64_t top = ~(c.regime.span(c.regime.root_level()) - 1);
  return c.table_rule == "v7" && ((l.vmalloc_end.value - 1) & top) == (l.vmemmap.start.value & top);
}

/// Whether the table that serves [start, start + span) goes: allowed by the rule, and nobody else's.
bool is_freed(const Region& g, VirtAddr start, std::uint64_t span) {
  if (!g.may_free_tables) return false;
  const VirtRange whole{start, start + span};
  // No region ends at the top of the address space, but a table may: then its end wraps to 0.
  if (g.bounded && (whole.start < g.bounds.start || whole.end - 1 > g.bounds.end - 1)) return false;
  return std::none_of(g.others.begin(), g.others.end(), [&](VirtRange o) { return o.overlaps(whole); });
}
bool is_others(const Region& g, VirtAddr start, std::uint64_t span) {
  const VirtRange whole{start, start + span};
  return std::any_of(g.others.begin(), g.others.end(), [&](VirtRange o) { return o.overlaps(whole); });
}

struct Tables {
  std::uint64_t freed = 0;
  std::uint64_t retained = 0;
};

/// Tables below the root on the way to the region's leaves, each once.
Tables count_tables(const Regime& r, const Region& g) {
  Tables t;
  for (Level level = r.root_level().next(); level <= vmsa::page_level; level = level.next()) {
    const std::uint64_t span = r.span(level.above());
    VirtAddr next = g.removed.start.align_down(span);
    for (const Run& run : g.runs) {
      if (run.level < level) continue;  // a block above: no table here
      for (VirtAddr at = std::max(next, run.range.start.align_down(span)); at < run.range.end; at = next) {
        if (is_freed(g, at, span))
          ++t.freed;
        else if (!is_others(g, at, span))
          ++t.retained;
        next = at + span;
        if (next == VirtAddr{}) break;  // the last table of the address space
      }
    }
  }
  return t;
}

/// Collects what flushes cost.
class Bill {
 public:
  Bill(const RemovalCase& c, report::Counts& counts) : c_(c), counts_(counts) {}

  void operations(TlbiOp op, std::uint64_t n) { counts_.tlbi[vmsa::tlbi_index(op)] += n; }
  /// What covers a range: operations over it, or one that flushes everything.
  bool is_everything(VirtRange v) const {
    const std::uint64_t pages = v.size() / c_.regime.page_size();
    return c_.range_tlbi ? pages > (1u << 21) : pages >= c_.regime.entries_per_table();
  }
  void cover(VirtRange v, TlbiOp op) {
    const std::uint64_t pages = v.size() / c_.regime.page_size();
    if (!c_.range_tlbi) return operations(op, pages);
    const RangeOperations n = range_operations(c_.regime, v.start, pages);
    operations(op, n.single);
    op.range = true;
    operations(op, n.range);
  }
  /// `n` times the barriers around a broadcast: ISHST before; ISH, the erratum's repetition, ISB after.
  void barriers(std::uint64_t n) {
    counts_.dsb[static_cast<unsigned>(machine::Dsb::ishst)] += n;
    counts_.dsb[static_cast<unsigned>(machine::Dsb::ish)] += c_.repeat_tlbi ? 2 * n : n;
    if (c_.repeat_tlbi) operations(vmsa::vale1is, n);
    counts_.isb += n;
  }
  void flush(VirtRange v) {
    if (is_everything(v))
      operations(vmsa::vmalle1is, 1);
    else
      cover(v, vmsa::vaale1is);
    barriers(1);
  }
  void flush_each(std::uint64_t leaves) {
    operations(vmsa::vaale1is, leaves);
    barriers(leaves);
  }

 private:
  const RemovalCase& c_;
  report::Counts& counts_;
};

/// Calls `body(part)` for each part of a run of pages that lies in one table of pages, and in one call of the
/// teardown: the linear map is torn down in one, vmemmap section by section.
template <typename Body>
void for_each_page_table_part(const Regime& r, const Run& run, std::uint64_t call_size, Body&& body) {
  for (VirtAddr at = run.range.start; at != run.range.end;) {
    const VirtAddr table_end = at.align_down(r.span(vmsa::pmd_level)) + r.span(vmsa::pmd_level);
    VirtAddr end = std::min(table_end, run.range.end);
    if (call_size != 0)
      end = std::min(end, run.range.start + ((at - run.range.start) / call_size + 1) * call_size);
    body(VirtRange{at, end});
    at = end;
  }
}

/// Leaf flushes of strategies R and R0: one a table of pages (R0's covers nothing), blocks one by one.
void bill_per_table(Bill& bill, const Regime& r, const Region& g, std::uint64_t call_size, bool empty_range) {
  for (const Run& run : g.runs) {
    if (run.level != vmsa::page_level) {
      bill.flush_each(run.count(r));
      continue;
    }
    for_each_page_table_part(r, run, call_size,
                             [&](VirtRange part) { empty_range ? bill.barriers(1) : bill.flush(part); });
  }
}

/// Pass 1 of every strategy but T.
void bill_leaves(Bill& bill, const RemovalCase& c, const Region& linear, const Region& vmemmap) {
  const Regime& r = c.regime;
  if (c.strategy == "P") {
    bill.flush_each(linear.leaves(r));
    bill.flush_each(vmemmap.leaves(r));
  } else if (c.strategy == "R" || c.strategy == "R0") {
    bill_per_table(bill, r, linear, 0, c.strategy == "R0");
    bill_per_table(bill, r, vmemmap, r.section_vmemmap_size(), c.strategy == "R0");
  } else if (c.strategy == "L") {
    bill.flush(linear.removed);
    bill.flush(vmemmap.removed);
  } else {
    assert(c.strategy == "B" || c.strategy == "freed-before-flush");
    bill.flush(linear.removed);
    bill.flush_each(vmemmap.leaves(r));
  }
}

/// T: leaves and tables of both regions at once.
void bill_everything_at_once(Bill& bill, const Region& linear, const Region& vmemmap) {
  if (bill.is_everything(linear.removed) || bill.is_everything(vmemmap.removed)) {
    bill.operations(vmsa::vmalle1is, 1);
  } else {
    bill.cover(linear.removed, vmsa::vaae1is);
    bill.cover(vmemmap.removed, vmsa::vaae1is);
  }
  bill.barriers(1);
}

Region linear_region(const RemovalCase& c, const vmsa::Layout& l) {
  Region g{.bounds = l.linear, .removed = linear_range(c, l, c.range), .runs = {}, .others = {}};
  g.runs = linear_runs(c, g.removed);
  g.bounded = c.table_rule == "floor-ceiling";
  return g;
}

Region vmemmap_region(const RemovalCase& c, const vmsa::Layout& l) {
  Region g{.bounds = l.vmemmap, .removed = vmemmap_range(c, l, c.range), .runs = {}, .others = {}};
  const bool blocks = c.regime.vmemmap_uses_blocks() && !c.vmemmap_pages;
  g.runs = {{g.removed, blocks ? vmsa::pmd_level : vmsa::page_level}};
  g.bounded = c.table_rule == "floor-ceiling";
  g.may_free_tables = !v7_keeps_vmemmap_tables(c, l);
  return g;
}

}  // namespace

RangeOperations range_operations(const Regime& r, VirtAddr va, std::uint64_t pages) {
  RangeOperations n;
  if (r.lpa2) {
    const std::uint64_t to_boundary = (va.align_up(0x10000) - va) / r.page_size();
    n.single = std::min(to_boundary, pages);
    pages -= n.single;
  }
  n.single += pages % 2;
  std::uint64_t pairs = pages / 2;
  for (unsigned digit = 0; digit < 3; ++digit, pairs /= 32) n.range += pairs % 32 != 0;
  n.range += (pairs + 31) / 32;  // the top digit may be 32
  return n;
}

ExpectedCounts expected_counts(const RemovalCase& c) {
  const Regime& r = c.regime;
  const vmsa::Layout l = vmsa::layout(r, c.layout);
  Region linear = linear_region(c, l);
  Region vmemmap = vmemmap_region(c, l);
  // Tables near the root may serve both regions, and vmalloc: everybody who stays counts for both.
  for (PhysRange p : c.neighbours)
    for (Region* g : {&linear, &vmemmap}) {
      g->others.push_back(linear_range(c, l, p));
      g->others.push_back(vmemmap_range(c, l, p));
    }
  if (c.vmalloc_neighbour)
    for (Region* g : {&linear, &vmemmap}) g->others.push_back({l.vmalloc_end - r.page_size(), l.vmalloc_end});

  ExpectedCounts e;
  const Tables linear_tables = count_tables(r, linear);
  const Tables vmemmap_tables = count_tables(r, vmemmap);
  e.linear_leaves = linear.leaves(r);
  e.vmemmap_leaves = vmemmap.leaves(r);
  e.linear_tables_freed = linear_tables.freed;
  e.vmemmap_tables_freed = vmemmap_tables.freed;
  e.tables_retained = linear_tables.retained + vmemmap_tables.retained;
  e.counts.tables_freed = linear_tables.freed + vmemmap_tables.freed;
  e.counts.descriptor_stores = e.linear_leaves + e.vmemmap_leaves + e.counts.tables_freed;

  Bill bill(c, e.counts);
  if (c.strategy == "T") {
    bill_everything_at_once(bill, linear, vmemmap);
    return e;
  }
  bill_leaves(bill, c, linear, vmemmap);
  bill.operations(vmsa::vaae1is, e.counts.tables_freed);
  bill.barriers(e.counts.tables_freed);
  return e;
}

}  // namespace shootdown::scenario
