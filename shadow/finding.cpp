// SPDX-License-Identifier: MIT
#include "shadow/finding.hpp"

#include <algorithm>

#include "shadow/exposure.hpp"

namespace shootdown::shadow {
namespace {

PhysRange leaf_range(const Regime& r, Level level, Descriptor d) {
  const PhysAddr pa = vmsa::output_address(r, level, d);
  return {pa, pa + r.span(level)};
}

/// Walks on from a table at `level`.
std::optional<Translation> walk_below(const Regime& r, const TableMemory& memory, PhysAddr table, Level level,
                                      VirtAddr va, bool hardware_access_flag) {
  for (;; level = level.next()) {
    const Descriptor d = memory.read(vmsa::slot_address(r, table, level, va));
    if (d.is_table(level)) {
      table = vmsa::output_address(r, level, d);
      continue;
    }
    if (!is_leaf(r, level, d) || (!d.accessed() && !hardware_access_flag)) return std::nullopt;
    const PhysAddr base = vmsa::output_address(r, level, d);
    return Translation{base + (va.value & (r.span(level) - 1)), level, d};
  }
}

PhysRange table_page(const Regime& r, PhysAddr page) { return {page, page + r.page_size()}; }

/// The first address of `range` that the live tree does not translate as this leaf does, if there is one. A
/// block that was split in place is derivable page by page.
std::optional<VirtAddr> first_stale(const Regime& r, const TableMemory& memory, PhysAddr root,
                                    const Place& place, Descriptor d, VirtRange range) {
  const PhysAddr leaf = vmsa::output_address(r, place.level, d);
  for (VirtAddr va = range.start; va != range.end;) {
    const auto now = walk(r, memory, root, va);
    if (!now || now->pa != leaf + (va - place.va)) return va;
    const VirtAddr next = va.align_down(r.span(now->level)) + r.span(now->level);
    va = next - 1 < range.end - 1 ? next : range.end;
  }
  return std::nullopt;
}

/// Judges one release against the entries of the shadow.
class ReleaseJudge {
 public:
  ReleaseJudge(const Shadow& shadow, const TableMemory& memory, PhysAddr root, PhysRange range)
      : r_(shadow.regime()), memory_(memory), root_(root), range_(range) {}

  std::optional<Finding> found;

  void entry(const Entry& e) {
    if (found) return;
    if (!e.is_table()) return leaf(e, e.place, e.value);
    const TableAt top = table_of(r_, e.place, e.value);
    table(e, top);
    for_each_below(r_, memory_, top, e.place.asid, [&](const Place& p, PhysAddr, Descriptor d) {
      if (found) return;
      if (d.is_table(p.level))
        table(e, table_of(r_, p, d));
      else if (cacheable(r_, p.level, d))
        leaf(e, p, d);
    });
  }

 private:
  void table(const Entry& through, const TableAt& t) {
    if (found || !table_page(r_, t.page).overlaps(range_)) return;
    found = Finding{
        .harm = Harm::stale_table, .holders = through.holders, .entry = through, .va = t.va, .page = t.page};
  }
  void leaf(const Entry& through, const Place& place, Descriptor d) {
    const PhysRange mapped = leaf_range(r_, place.level, d);
    if (found || !mapped.overlaps(range_)) return;
    const PhysAddr first = std::max(mapped.start, range_.start);
    const VirtAddr start = place.va + (first - mapped.start);
    const VirtRange released{start, start + (std::min(mapped.end, range_.end) - first)};
    const auto va = first_stale(r_, memory_, root_, place, d, released);
    if (!va) return;
    found = Finding{.harm = Harm::stale_page,
                    .holders = through.holders,
                    .entry = through,
                    .va = *va,
                    .page = first + (*va - start)};
  }

  const Regime& r_;
  const TableMemory& memory_;
  PhysAddr root_;
  PhysRange range_;
};

/// Who may still use the entry: a CPU that lacks only its own context synchronisation does not count here,
/// break-before-make asks for none (R_DDMVT).
CpuSet active_holders(const Entry& e) { return e.holders - e.unsynchronised; }

/// Judges what a store has exposed against what CPUs may still hold.
class ExposureJudge {
 public:
  ExposureJudge(const Shadow& shadow, const TableMemory& memory, PhysAddr slot, vmsa::BbmLevel bbm)
      : shadow_(shadow), r_(shadow.regime()), memory_(memory), slot_(slot), bbm_(bbm) {}

  std::optional<Finding> found;

  void exposed(const Place& p, PhysAddr at, Descriptor d) {
    each_overlapping(p, d, [&](const Entry& e) {
      report(e, std::max(e.place.va, p.va), exposure_conflict(r_, e, p, d, bbm_), d);
    });
    if (is_leaf(r_, p.level, d)) group(p, at, d);
  }

 private:
  void report(const Entry& e, VirtAddr va, vmsa::Conflict conflict, Descriptor now) {
    if (found || conflict == vmsa::Conflict::none || active_holders(e).empty()) return;
    found = Finding{Harm::break_before_make, active_holders(e), e, va, slot_, conflict, now};
  }

  /// Walk-cache entries are tagged with their context, leaves unless they are global.
  static bool same_context(const Entry& e, const Place& p, Descriptor d) {
    if (e.place.asid == p.asid) return true;
    const bool global_leaf = !d.is_table(p.level) && !d.not_global();
    return !e.is_table() && (!e.value.not_global() || global_leaf);
  }
  template <typename Fn>
  void each_overlapping(const Place& p, Descriptor d, Fn&& fn) {
    shadow_.for_each_in({p.va, p.va + r_.span(p.level)}, [&](const Entry& e) {
      if (same_context(e, p, d)) fn(e);
    });
  }

  bool size_may_change() const { return bbm_ == vmsa::BbmLevel::level2_no_abort; }

  /// Contiguous bits set inconsistently within a group: either reading, or an abort (R_NGLXZ, R_JQQTC). The
  /// members may still be on their way, so an invalid one is no contradiction.
  void group(const Place& p, PhysAddr at, Descriptor d) {
    const unsigned count = r_.contiguous_count(p.level);
    if (count == 1) return;
    const PhysAddr first = at.align_down(count * sizeof(Descriptor));
    const std::uint64_t own = (at - first) / sizeof(Descriptor);
    for (std::uint64_t i = 0; i < count; ++i) {
      const PhysAddr slot = first + i * sizeof(Descriptor);
      const Descriptor member = memory_.read(slot);
      if (i == own || !is_leaf(r_, p.level, member) || !(d.contiguous() || member.contiguous())) continue;
      const std::uint64_t distance = (i - own) * r_.span(p.level);
      const bool apart =
          vmsa::output_address(r_, p.level, member) != vmsa::output_address(r_, p.level, d) + distance;
      const Entry e{{{p.level, p.va + distance, p.asid}, slot, member}, shadow_.cpus(), {}, {}};
      if (apart) report(e, p.va, vmsa::Conflict::output_address, d);
      if (d.contiguous() != member.contiguous() && !size_may_change())
        report(e, p.va, vmsa::Conflict::block_size, d);
    }
  }

  const Shadow& shadow_;
  const Regime& r_;
  const TableMemory& memory_;
  PhysAddr slot_;
  vmsa::BbmLevel bbm_;
};

}  // namespace

std::optional<Translation> walk(const Regime& r, const TableMemory& memory, PhysAddr root, VirtAddr va,
                                bool hardware_access_flag) {
  return walk_below(r, memory, root, r.root_level(), va, hardware_access_flag);
}

std::optional<Finding> check_release(const Shadow& shadow, const TableMemory& memory, PhysAddr root,
                                     PhysRange range) {
  ReleaseJudge judge(shadow, memory, root, range);
  shadow.for_each([&](const Entry& e) { judge.entry(e); });
  return judge.found;
}

std::optional<Finding> check_exposed(const Shadow& shadow, const TableMemory& memory, const Place& place,
                                     PhysAddr slot, Descriptor now, vmsa::BbmLevel bbm) {
  const Regime& r = shadow.regime();
  ExposureJudge judge(shadow, memory, slot, bbm);
  judge.exposed(place, slot, now);
  if (now.is_table(place.level))
    for_each_below(r, memory, table_of(r, place, now), place.asid,
                   [&](const Place& p, PhysAddr s, Descriptor d) { judge.exposed(p, s, d); });
  return judge.found;
}

std::vector<Reach> reach(const Shadow& shadow, const TableMemory& memory, PhysAddr root, unsigned cpu,
                         VirtAddr va, bool hardware_access_flag) {
  const Regime& r = shadow.regime();
  std::vector<Reach> all;
  const auto current = walk(r, memory, root, va, hardware_access_flag);
  all.push_back({current ? std::optional(current->pa) : std::nullopt, false});
  auto add = [&](std::optional<PhysAddr> pa) {
    const bool known = std::any_of(all.begin(), all.end(), [&](const Reach& x) { return x.pa == pa; });
    if (!known) all.push_back({pa, true});
  };
  // A walk through a stale table entry may end at an invalid word as well: a fault although the tables map it.
  shadow.for_each_in({va, va + 1}, [&](const Entry& e) {
    if (!e.holders.contains(cpu)) return;
    if (!e.is_table()) return add(vmsa::output_address(r, e.place.level, e.value) + (va - e.place.va));
    const TableAt top = table_of(r, e.place, e.value);
    const auto end = walk_below(r, memory, top.page, top.level, va, hardware_access_flag);
    if (!end)
      add(std::nullopt);
    else if (end->leaf.accessed())
      add(end->pa);
  });
  return all;
}

}  // namespace shootdown::shadow
