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

/// Walks on from a table.
Walk walk_from(const Regime& r, const TableMemory& memory, const TableAt& top, VirtAddr va,
               bool hardware_access_flag) {
  PhysAddr table = top.page;
  for (Level level = top.level;; level = level.next()) {
    const PhysAddr slot = vmsa::slot_address(r, table, level, va);
    const Descriptor d = memory.read(slot);
    if (d.is_table(level)) {
      table = vmsa::output_address(r, level, d);
      continue;
    }
    Walk end{.fault = vmsa::Fault::translation, .level = level, .slot = slot, .leaf = d};
    if (!is_leaf(r, level, d)) return end;
    end.fault = d.accessed() || hardware_access_flag ? vmsa::Fault::none : vmsa::Fault::access_flag;
    end.pa = vmsa::output_address(r, level, d) + (va.value & (r.span(level) - 1));
    return end;
  }
}

PhysRange table_page(const Regime& r, PhysAddr page) { return {page, page + r.page_size()}; }

/// The first address of `range` that the live tree does not translate as this leaf does, if there is one. A
/// block that was split in place is derivable page by page.
std::optional<VirtAddr> first_stale(const Regime& r, const TableMemory& memory, const TableAt& top,
                                    const Place& place, Descriptor d, VirtRange range) {
  const PhysAddr leaf = vmsa::output_address(r, place.level, d);
  for (VirtAddr va = range.start; va != range.end;) {
    const Walk now = walk_from(r, memory, top, va, /*hardware_access_flag=*/true);
    if (now.fault != vmsa::Fault::none || now.pa != leaf + (va - place.va)) return va;
    const VirtAddr next = va.align_down(r.span(now.level)) + r.span(now.level);
    va = next - 1 < range.end - 1 ? next : range.end;
  }
  return std::nullopt;
}

/// Judges one release against the entries of the shadow.
class ReleaseJudge {
 public:
  ReleaseJudge(const Shadow& shadow, const TableMemory& memory, PhysRange range)
      : shadow_(shadow), r_(shadow.regime()), memory_(memory), range_(range) {}

  std::optional<Finding> found;

  void entry(const Entry& e) {
    if (found || shadow_.harmful_holders(e).empty()) return;
    if (!e.is_table()) return leaf(e, e.place, e.value);
    const TableAt top = table_of(r_, e.place, e.value);
    table(e, top);
    for_each_below(r_, memory_, top, e.place.context, [&](const Place& p, PhysAddr slot, Descriptor d) {
      if (found) return;
      if (d.is_table(p.level)) return table(e, table_of(r_, p, d));
      const Descriptor held = as_cached(r_, p.level, d, shadow_.hardware().access_flag);
      if (!cacheable(r_, p.level, held)) return;
      leaf(e, p, held);
      for_each_group_member(r_, {p, slot, held},
                            [&](const Held& other) { leaf(e, other.place, other.value); });
    });
  }

 private:
  void table(const Entry& through, const TableAt& t) {
    if (found || !table_page(r_, t.page).overlaps(range_)) return;
    found = Finding{.harm = Harm::stale_table,
                    .holders = shadow_.harmful_holders(through),
                    .entry = through,
                    .va = t.va,
                    .page = t.page};
  }
  void leaf(const Entry& through, const Place& place, Descriptor d) {
    const PhysRange mapped = leaf_range(r_, place.level, d);
    if (found || !mapped.overlaps(range_)) return;
    const PhysAddr first = std::max(mapped.start, range_.start);
    const VirtAddr start = place.va + (first - mapped.start);
    const VirtRange released{start, start + (std::min(mapped.end, range_.end) - first)};
    const auto va = first_stale(r_, memory_, shadow_.top(place.context.space), place, d, released);
    if (!va) return;
    found = Finding{.harm = Harm::stale_page,
                    .holders = shadow_.harmful_holders(through),
                    .entry = through,
                    .va = *va,
                    .page = first + (*va - start)};
  }

  const Shadow& shadow_;
  const Regime& r_;
  const TableMemory& memory_;
  PhysRange range_;
};

/// Who may still use the entry: a CPU that lacks only its own context synchronisation does not count here,
/// break-before-make asks for none (R_DDMVT).
CpuSet active_holders(const Entry& e) { return e.holders - e.unsynchronised; }

/// Judges what a store has exposed against what CPUs may still hold.
class ExposureJudge {
 public:
  ExposureJudge(const Shadow& shadow, const TableMemory& memory, PhysAddr slot, vmsa::BbmLevel bbm,
                SameContents same_contents)
      : shadow_(shadow),
        r_(shadow.regime()),
        memory_(memory),
        slot_(slot),
        bbm_(bbm),
        same_contents_(same_contents) {}

  std::optional<Finding> found;

  void exposed(const Place& p, PhysAddr at, Descriptor d) {
    each_overlapping(p, d, [&](const Entry& e) {
      report(e, std::max(e.place.va, p.va), exposure_conflict(r_, e, p, d, bbm_, are_same(e, p, d)), d);
    });
    if (is_leaf(r_, p.level, d)) group(p, at, d);
  }

 private:
  bool are_same(const Entry& e, const Place& p, Descriptor d) const {
    if (e.place.level == p.level && e.is_table() && d.is_table(p.level))
      return are_same_tables(p, e.value, d);
    return same_contents_ && e.place.level == p.level && is_leaf(r_, p.level, d) && !e.is_table() &&
           same_contents_(vmsa::output_address(r_, p.level, e.value), vmsa::output_address(r_, p.level, d),
                          r_.span(p.level));
  }
  bool are_same_tables(const Place& p, Descriptor a, Descriptor b) const {
    const PhysAddr x = vmsa::output_address(r_, p.level, a), y = vmsa::output_address(r_, p.level, b);
    const unsigned count = r_.entry_count(p.level.next());
    for (std::uint64_t i = 0; i < count; ++i)
      if (memory_.read(x + i * sizeof(Descriptor)) != memory_.read(y + i * sizeof(Descriptor))) return false;
    return true;
  }
  void report(const Entry& e, VirtAddr va, vmsa::Conflict conflict, Descriptor now) {
    if (found || conflict == vmsa::Conflict::none || active_holders(e).empty()) return;
    found = Finding{Harm::break_before_make, active_holders(e), e, va, slot_, conflict, now};
  }

  /// Walk-cache entries are tagged with their context, leaves unless they are global.
  static bool same_context(const Entry& e, const Place& p, Descriptor d) {
    if (e.place.context == p.context) return true;
    if ((e.place.context.space == 0) != (p.context.space == 0)) return false;
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
      const Entry e{{{p.level, p.va + distance, p.context}, slot, member}, shadow_.cpus(), {}, {}, {}};
      if (apart) report(e, p.va, vmsa::Conflict::output_address, d);
      if (d.contiguous() != member.contiguous() && !size_may_change())
        report(e, p.va, vmsa::Conflict::block_size, d);
      if (!d.contiguous() || !member.contiguous()) continue;
      // Of one group, memory type, shareability and being global are one, too; permissions may differ.
      const Descriptor here =
          vmsa::with_output_address(r_, p.level, member, vmsa::output_address(r_, p.level, d));
      for (const auto& [from, to] : {std::pair{here, d}, std::pair{d, here}})
        report(e, p.va,
               vmsa::break_before_make_conflict(r_, {.level = p.level, .from = from, .to = to}, bbm_), d);
    }
  }

  const Shadow& shadow_;
  const Regime& r_;
  const TableMemory& memory_;
  PhysAddr slot_;
  vmsa::BbmLevel bbm_;
  SameContents same_contents_;
};

/// The translation that a valid contiguous neighbour's entry gives to the address of an invalid member.
std::optional<Walk> group_translation(const Shadow& shadow, const TableMemory& memory, std::uint8_t space,
                                      VirtAddr va) {
  const Regime& r = shadow.regime();
  std::optional<Walk> found;
  const Walk invalid = walk_from(r, memory, shadow.top(space), va, true);
  const Level level = invalid.level;
  const unsigned count = r.contiguous_count(level);
  const PhysAddr first = invalid.slot.align_down(count * sizeof(Descriptor));
  const VirtAddr own = va.align_down(r.span(level));
  for (unsigned i = 0; i < count && count > 1; ++i) {
    const PhysAddr slot = first + i * sizeof(Descriptor);
    const Descriptor d = as_cached(r, level, memory.read(slot), shadow.hardware().access_flag);
    if (!cacheable(r, level, d)) continue;
    const std::uint64_t distance = (i - (invalid.slot - first) / sizeof(Descriptor)) * r.span(level);
    for_each_group_member(r, {{level, own + distance, shadow.context(space)}, slot, d},
                          [&](const Held& other) {
                            if (other.slot != invalid.slot) return;
                            found = Walk{.fault = vmsa::Fault::none,
                                         .level = level,
                                         .slot = other.slot,
                                         .leaf = other.value,
                                         .pa = vmsa::output_address(r, level, other.value) + (va - own)};
                          });
  }
  return found;
}

}  // namespace

Walk walk(const Shadow& shadow, const TableMemory& memory, std::uint8_t space, VirtAddr va) {
  return walk_from(shadow.regime(), memory, shadow.top(space), va, shadow.hardware().access_flag);
}

std::optional<Finding> check_release(const Shadow& shadow, const TableMemory& memory, PhysRange range) {
  ReleaseJudge judge(shadow, memory, range);
  shadow.for_each([&](const Entry& e) { judge.entry(e); });
  return judge.found;
}

std::optional<Finding> check_still_mapped(const Shadow& shadow, const TableMemory& memory, PhysRange range,
                                          FunctionRef<bool(VirtAddr)> by_design) {
  const Regime& r = shadow.regime();
  std::optional<Finding> found;
  for (std::uint8_t space = 0; space < shadow.spaces().size(); ++space) {
    const Space& s = shadow.spaces()[space];
    if (s.retired && s.running.empty()) continue;
    auto look = [&](const Held& leaf) {
      if (found || !leaf_range(r, leaf.place.level, leaf.value).overlaps(range) || by_design(leaf.place.va))
        return;
      const PhysRange mapped = leaf_range(r, leaf.place.level, leaf.value);
      found = Finding{.harm = Harm::stale_page,
                      .holders = s.may_hold,
                      .entry = {leaf, s.may_hold, {}, {}, {}},
                      .va = leaf.place.va + (std::max(mapped.start, range.start) - mapped.start),
                      .page = std::max(mapped.start, range.start),
                      .live = true};
    };
    for_each_below(r, memory, shadow.top(space), shadow.context(space),
                   [&](const Place& p, PhysAddr slot, Descriptor d) {
                     const Held leaf{p, slot, as_cached(r, p.level, d, shadow.hardware().access_flag)};
                     if (found || leaf.is_table() || !cacheable(r, p.level, leaf.value)) return;
                     look(leaf);
                     // One entry may stand for the whole group, invalid members included.
                     for_each_group_member(r, leaf, look);
                   });
  }
  return found;
}

std::optional<Finding> check_exposed(const Shadow& shadow, const TableMemory& memory, const Place& place,
                                     PhysAddr slot, Descriptor now, vmsa::BbmLevel bbm,
                                     SameContents same_contents) {
  const Regime& r = shadow.regime();
  ExposureJudge judge(shadow, memory, slot, bbm, same_contents);
  judge.exposed(place, slot, now);
  if (now.is_table(place.level))
    for_each_below(r, memory, table_of(r, place, now), place.context,
                   [&](const Place& p, PhysAddr s, Descriptor d) { judge.exposed(p, s, d); });
  return judge.found;
}

std::optional<Finding> check_still_equal(const Shadow& shadow, const TableMemory& memory, PhysAddr word) {
  const Regime& r = shadow.regime();
  std::optional<Finding> found;
  shadow.for_each([&](const Entry& e) {
    if (found || e.is_table() || active_holders(e).empty()) return;
    const Walk now = walk(shadow, memory, e.place.context.space, e.place.va);
    const PhysRange old = leaf_range(r, e.place.level, e.value);
    if (now.fault != vmsa::Fault::none || now.level != e.place.level || now.pa == old.start) return;
    if (!old.contains(word) && !leaf_range(r, now.level, now.leaf).contains(word)) return;
    found = Finding{Harm::break_before_make,        active_holders(e), e, e.place.va, word,
                    vmsa::Conflict::output_address, now.leaf};
  });
  return found;
}

std::optional<Finding> check_reuse(const Shadow& shadow, const TableMemory& memory, unsigned cpu,
                                   std::uint8_t space) {
  const Regime& r = shadow.regime();
  const std::uint16_t asid = shadow.spaces()[space].asid;
  std::optional<Finding> found;
  auto report = [&](const Held& h) {
    if (found) return;
    found = Finding{.harm = h.is_table() ? Harm::stale_table : Harm::stale_page,
                    .holders = CpuSet::one(cpu),
                    .entry = {h, CpuSet::one(cpu), {}, {}, {}},
                    .va = h.place.va,
                    .page = vmsa::output_address(r, h.place.level, h.value),
                    .other_owner = true};
  };
  for (std::uint8_t other = 1; other < shadow.spaces().size(); ++other) {
    const Space& s = shadow.spaces()[other];
    if (other == space || s.asid != asid) continue;
    shadow.for_each([&](const Entry& e) {
      if (e.place.context.space == other && e.holders.contains(cpu)) report(e);
    });
    if (!s.may_hold.contains(cpu)) continue;
    for_each_below(r, memory, shadow.top(other), shadow.context(other),
                   [&](const Place& p, PhysAddr slot, Descriptor d) {
                     const Descriptor held = as_cached(r, p.level, d, shadow.hardware().access_flag);
                     if (cacheable(r, p.level, held)) report({p, slot, held});
                   });
  }
  return found;
}

std::optional<Finding> check_relied(const Shadow& shadow, const TableMemory& memory, std::uint8_t space,
                                    VirtRange range, vmsa::AccessKind kind) {
  const Regime& r = shadow.regime();
  std::optional<Finding> found;
  auto look = [&](const Entry& through, const Place& p, Descriptor d) {
    const CpuSet holders = shadow.harmful_holders(through);
    if (found || holders.empty() || !vmsa::permits(d, kind)) return;
    const VirtAddr va = std::max(p.va, range.start);
    const Walk now = walk(shadow, memory, space, va);
    // Through a writable-clean leaf nobody writes without asking the tables (R_SGJBL).
    const bool asks_tables = kind.right == vmsa::Right::write && vmsa::is_writable_clean(d);
    const bool same = now.fault == vmsa::Fault::none && vmsa::permits(now.leaf, kind);
    if (same || asks_tables) return;
    found = Finding{.harm = Harm::stale_permission, .holders = holders, .entry = through, .va = va};
  };
  shadow.for_each_in(range, [&](const Entry& e) {
    if (e.place.context.space != space) return;
    if (!e.is_table()) return look(e, e.place, e.value);
    for_each_below(r, memory, table_of(r, e.place, e.value), e.place.context,
                   [&](const Place& p, PhysAddr, Descriptor d) {
                     const Descriptor held = as_cached(r, p.level, d, shadow.hardware().access_flag);
                     const VirtRange here{p.va, p.va + r.span(p.level)};
                     if (cacheable(r, p.level, held) && !held.is_table(p.level) && here.overlaps(range))
                       look(e, p, held);
                   });
  });
  return found;
}

std::vector<Reach> reach(const Shadow& shadow, const TableMemory& memory, unsigned cpu, VirtAddr va) {
  const Regime& r = shadow.regime();
  const bool hardware_access_flag = shadow.hardware().access_flag;
  std::vector<Reach> all;
  auto add = [&](const Walk& w, bool stale) {
    const bool known = std::any_of(all.begin(), all.end(), [&](const Reach& x) {
      return x.walk.fault == w.fault && x.walk.pa == w.pa && x.walk.leaf == w.leaf && x.walk.slot == w.slot;
    });
    if (!known) all.push_back({w, stale});
  };
  const auto runs = [&](std::uint8_t space) {
    return vmsa::is_kernel_half(va) ? space == 0 : space != 0 && shadow.spaces()[space].running.contains(cpu);
  };
  for (std::uint8_t space = 0; space < shadow.spaces().size(); ++space) {
    if (!runs(space)) continue;
    const Walk now = walk(shadow, memory, space, va);
    add(now, false);
    if (now.fault != vmsa::Fault::translation) continue;
    // An invalid member of a contiguous group is translated by a valid one's entry.
    if (const auto by_group = group_translation(shadow, memory, space, va)) add(*by_group, true);
  }
  // A walk through a stale table entry may end at an invalid word as well: a fault although the tables map it.
  shadow.for_each_in({va, va + 1}, [&](const Entry& e) {
    if (!e.holders.contains(cpu) || !runs(e.place.context.space)) return;
    if (!e.is_table())
      return add({.fault = vmsa::Fault::none,
                  .level = e.place.level,
                  .slot = e.slot,
                  .leaf = e.value,
                  .pa = vmsa::output_address(r, e.place.level, e.value) + (va - e.place.va)},
                 true);
    add(walk_from(r, memory, table_of(r, e.place, e.value), va, hardware_access_flag), true);
  });
  if (all.empty()) all.push_back({{.fault = vmsa::Fault::translation, .level = r.root_level()}, false});
  return all;
}

}  // namespace shootdown::shadow
