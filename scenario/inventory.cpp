// SPDX-License-Identifier: MIT
#include "scenario/inventory.hpp"

#include <algorithm>
#include <map>

namespace shootdown::scenario {
namespace {

using mm::PhysAddr;
using vmsa::Descriptor;
using vmsa::Level;
using vmsa::Regime;
using vmsa::VirtRange;

/// One table's entries: leaves of the range, other entries that lead to it alone, and what is somebody else's.
struct Entries {
  unsigned leaves = 0, ours = 0, others = 0;
};

class Count {
 public:
  Count(const Regime& r, const std::vector<VirtRange>& ranges) : r_(r), ranges_(ranges) {}

  void entry(const shadow::Place& place, PhysAddr slot, Descriptor d) {
    Entries& table = tables_[{place.level, slot.align_down(r_.page_size()).value}];
    const VirtRange span{place.va, place.va + r_.span(place.level)};
    const bool ours =
        std::any_of(ranges_.begin(), ranges_.end(), [&](VirtRange x) { return x.overlaps(span); });
    ++(ours ? table.ours : table.others);
    if (!ours || !d.is_leaf(place.level)) return;
    ++table.leaves;
    Inventory::Leaves& leaves = leaves_[place.level];
    leaves.level = place.level;
    ++leaves.count;
    if (d.contiguous() && place.va.is_aligned(r_.contiguous_span(place.level))) ++leaves.groups;
  }

  void into(Inventory& all) const {
    for (const auto& [level, leaves] : leaves_) {
      all.leaves.push_back(leaves);
      if (leaves.groups > 0) all.group_members = r_.contiguous_count(level);
    }
    for (const auto& [table, entries] : tables_) {
      if (entries.leaves == 0) continue;
      if (entries.others > 0)
        ++all.tables_shared;
      else
        ++(entries.ours == r_.entry_count(table.first) ? all.tables_whole : all.tables_in_part);
    }
  }

 private:
  const Regime& r_;
  const std::vector<VirtRange>& ranges_;
  std::map<std::pair<Level, std::uint64_t>, Entries> tables_;
  std::map<Level, Inventory::Leaves> leaves_;
};

std::optional<Inventory::RangeTlbi> largest_range_tlbi(const Regime& r, VirtRange range) {
  std::optional<Inventory::RangeTlbi> largest;
  vmsa::for_each_tlbi(r, {.range = range}, /*has_range_tlbi=*/true, [&](const vmsa::Tlbi& t) {
    if (!t.op.range || (largest && largest->pages >= t.pages)) return;
    const vmsa::RangeFields fields = vmsa::range_fields(t.pages).value();
    largest = {t.pages, fields.scale, fields.num};
  });
  return largest;
}

}  // namespace

Inventory inventory(const HotRemoveConfig& config) {
  HotRemoveConfig c = config;
  c.mutation.reset();
  if (c.experiment == Experiment::hot_add) {
    c.experiment = Experiment::hot_remove;
    c.path = Path::both;
  }
  const Arrangement a = arrange(c);
  const Regime& r = a.regime;
  const std::vector<VirtRange> ranges = mapped_ranges(c, a);
  const model::Setup setup = set_up(c);
  Inventory all{.pages = a.range.size() / r.page_size()};
  all.sections = (a.range.end.align_up(r.section_size()) - a.range.start.align_down(r.section_size())) /
                 r.section_size();

  Count count(r, ranges);
  const shadow::TableAt root{setup.root, r.root_level(), r.base()};
  shadow::for_each_below(
      r, setup.world.memory, root, {},
      [&](const shadow::Place& place, PhysAddr slot, Descriptor d) { count.entry(place, slot, d); });
  count.into(all);
  if (c.features.range_tlbi)
    for (const VirtRange range : ranges)
      if (const auto t = largest_range_tlbi(r, range);
          t && (!all.range_tlbi || t->pages > all.range_tlbi->pages))
        all.range_tlbi = t;
  return all;
}

}  // namespace shootdown::scenario
