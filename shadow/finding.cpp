// SPDX-License-Identifier: MIT
#include "shadow/finding.hpp"

#include <algorithm>

namespace shootdown::shadow {
namespace {

PhysRange leaf_range(const Regime& r, Level level, Descriptor d) {
  const PhysAddr pa = vmsa::output_address(r, level, d);
  return {pa, pa + r.span(level)};
}

PhysRange table_page(const Regime& r, PhysAddr page) { return {page, page + r.page_size()}; }

/// Does the live tree give every address of this leaf the same output address?
bool still_derivable(const Regime& r, const TableMemory& memory, PhysAddr root, const Place& place,
                     Descriptor d) {
  const auto now = walk(r, memory, root, place.va);
  if (!now || now->level > place.level) return false;
  return now->pa == vmsa::output_address(r, place.level, d);
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
      else if (cacheable(p.level, d))
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
    if (found || !mapped.overlaps(range_) || still_derivable(r_, memory_, root_, place, d)) return;
    const PhysAddr page = std::max(mapped.start, range_.start);
    found = Finding{.harm = Harm::stale_page,
                    .holders = through.holders,
                    .entry = through,
                    .va = place.va + (page - mapped.start),
                    .page = page};
  }

  const Regime& r_;
  const TableMemory& memory_;
  PhysAddr root_;
  PhysRange range_;
};

/// Two leaves over one address, one of them stale: may both be held? (R_WHZWS)
vmsa::Conflict leaf_conflict(const Regime& r, const Entry& old, const Place& place, Descriptor now,
                             vmsa::BbmLevel bbm) {
  if (old.place.level == place.level)
    return vmsa::break_before_make_conflict(r, {.level = place.level, .from = old.value, .to = now}, bbm);
  if (bbm != vmsa::BbmLevel::level2_no_abort) return vmsa::Conflict::block_size;
  const VirtAddr va = std::max(old.place.va, place.va);
  const PhysAddr from = vmsa::output_address(r, old.place.level, old.value) + (va - old.place.va);
  const PhysAddr to = vmsa::output_address(r, place.level, now) + (va - place.va);
  return from == to ? vmsa::Conflict::none : vmsa::Conflict::output_address;
}

/// Who may still use the entry: a CPU that lacks only its own context synchronisation does not count here,
/// break-before-make asks for none (R_DDMVT).
CpuSet active_holders(const Entry& e) { return e.holders - e.unsynchronised; }

}  // namespace

std::optional<Translation> walk(const Regime& r, const TableMemory& memory, PhysAddr root, VirtAddr va,
                                bool hardware_access_flag) {
  PhysAddr table = root;
  for (Level level = r.root_level();; level = level.next()) {
    const Descriptor d = memory.read(vmsa::slot_address(r, table, level, va));
    if (d.is_table(level)) {
      table = vmsa::output_address(r, level, d);
      continue;
    }
    if (!d.is_leaf(level) || (!d.accessed() && !hardware_access_flag)) return std::nullopt;
    const PhysAddr base = vmsa::output_address(r, level, d);
    return Translation{base + (va.value & (r.span(level) - 1)), level, d};
  }
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
  std::optional<Finding> found;
  auto report = [&](const Entry& e, VirtAddr va, vmsa::Conflict conflict, Descriptor d) {
    if (found || conflict == vmsa::Conflict::none || active_holders(e).empty()) return;
    found = Finding{Harm::break_before_make, active_holders(e), e, va, slot, conflict, d};
  };
  auto exposed_leaf = [&](const Place& p, Descriptor d) {
    shadow.for_each_in({p.va, p.va + r.span(p.level)}, [&](const Entry& e) {
      if (e.is_table()) {
        if (e.place.level == p.level) report(e, p.va, vmsa::Conflict::block_size, d);
      } else {
        report(e, std::max(e.place.va, p.va), leaf_conflict(r, e, p, d, bbm), d);
      }
    });
  };
  if (now.is_leaf(place.level)) exposed_leaf(place, now);
  if (!now.is_table(place.level)) return found;
  shadow.for_each_in({place.va, place.va + r.span(place.level)}, [&](const Entry& e) {
    if (!e.is_table() || e.place != place) return;
    report(e, place.va, vmsa::Conflict::output_address, now);
  });
  for_each_below(r, memory, table_of(r, place, now), place.asid, [&](const Place& p, PhysAddr, Descriptor d) {
    if (d.is_leaf(p.level)) exposed_leaf(p, d);
  });
  return found;
}

std::vector<Reach> reach(const Shadow& shadow, const TableMemory& memory, PhysAddr root, unsigned cpu,
                         VirtAddr va, bool hardware_access_flag) {
  const Regime& r = shadow.regime();
  std::vector<Reach> all;
  const auto current = walk(r, memory, root, va, hardware_access_flag);
  all.push_back({current ? std::optional(current->pa) : std::nullopt, false});
  auto add = [&](PhysAddr pa) {
    const bool known = std::any_of(all.begin(), all.end(), [&](const Reach& x) { return x.pa == pa; });
    if (!known) all.push_back({pa, true});
  };
  shadow.for_each_in({va, va + 1}, [&](const Entry& e) {
    if (!e.holders.contains(cpu)) return;
    if (!e.is_table()) {
      add(vmsa::output_address(r, e.place.level, e.value) + (va - e.place.va));
      return;
    }
    for_each_below(r, memory, table_of(r, e.place, e.value), e.place.asid,
                   [&](const Place& p, PhysAddr, Descriptor d) {
                     if (cacheable(p.level, d) && d.is_leaf(p.level) && va - p.va < r.span(p.level))
                       add(vmsa::output_address(r, p.level, d) + (va - p.va));
                   });
  });
  return all;
}

}  // namespace shootdown::shadow
