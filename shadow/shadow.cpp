// SPDX-License-Identifier: MIT
// How entries come, are doomed, and go.
#include "shadow/shadow.hpp"

#include <algorithm>
#include <tuple>

namespace shootdown::shadow {
namespace {

auto key(const Entry& e) { return std::tie(e.place, e.slot, e.value); }

struct ByKey {
  bool operator()(const Entry& a, const Entry& b) const { return key(a) < key(b); }
};

/// The first entry whose range may reach `va`: entries of one level have one size and are aligned to it.
struct StartsBefore {
  bool operator()(const Entry& e, VirtAddr va) const { return e.place.va < va; }
};

/// The kernel half: addresses whose top bit is set (TTBR1).
bool is_kernel(VirtAddr va) { return va.value >> 63 != 0; }

}  // namespace

bool Shadow::empty() const {
  return std::all_of(levels_.begin(), levels_.end(), [](const Entries& e) { return e.empty(); });
}

std::size_t Shadow::size() const {
  std::size_t n = 0;
  for (const Entries& e : levels_) n += e.size();
  return n;
}

Entry* Shadow::find(const Place& place, PhysAddr slot, Descriptor value) {
  const Entry probe{{place, slot, value}, {}, {}, {}};
  Entries& entries = at(place.level);
  auto it = std::lower_bound(entries.begin(), entries.end(), probe, ByKey{});
  return it != entries.end() && it->same_value(probe) ? &*it : nullptr;
}

void Shadow::clear() {
  changed_ = true;
  for (Entries& e : levels_) e.clear();
  issuers_ = 0;
}

void Shadow::insert(Entry e) {
  changed_ = true;
  for (const Doom& d : e.dooms) issuers_ |= CpuSet::one(d.issuer).bits;
  issuers_ |= e.unsynchronised.bits;
  Entries& entries = at(e.place.level);
  auto it = std::lower_bound(entries.begin(), entries.end(), e, ByKey{});
  entries.insert(it, std::move(e));
}

// A value that goes stale again is held afresh: invalidations issued before do not concern it.
void Shadow::make_stale(const Place& place, PhysAddr slot, Descriptor value, CpuSet holders) {
  if (!cacheable(regime_, place.level, value) || holders.empty()) return;
  if (Entry* e = find(place, slot, value)) {
    e->holders = e->holders | holders;
    e->unsynchronised = e->unsynchronised - holders;
    for (Doom& d : e->dooms) d.cpus = d.cpus - holders;
    std::erase_if(e->dooms, [](const Doom& d) { return d.cpus.empty(); });
    return;
  }
  insert({{place, slot, value}, holders, {}, {}});
}

void Shadow::make_current(const Place& place, PhysAddr slot, Descriptor value) {
  Entries& entries = at(place.level);
  if (Entry* e = find(place, slot, value)) entries.erase(entries.begin() + (e - entries.data()));
}

void Shadow::store_linked(const TableMemory& memory, const Place& place, PhysAddr slot, Descriptor old,
                          Descriptor now) {
  if (old == now) return;
  changed_ = true;
  make_stale(place, slot, old, cpus_);
  if (old.is_table(place.level))
    for_each_below(regime_, memory, table_of(regime_, place, old), place.asid,
                   [&](const Place& p, PhysAddr s, Descriptor d) { make_stale(p, s, d, cpus_); });
  make_current(place, slot, now);
  if (now.is_table(place.level))
    for_each_below(regime_, memory, table_of(regime_, place, now), place.asid,
                   [&](const Place& p, PhysAddr s, Descriptor d) { make_current(p, s, d); });
}

void Shadow::store_unlinked(const TableMemory& memory, PhysAddr slot, Descriptor now) {
  changed_ = true;
  const PhysAddr page = slot.align_down(regime_.page_size());
  std::vector<Entry> born;
  for_each_stale_table(memory, [&](const TableAt& t, CpuSet holders, const Entry& through) {
    if (t.page != page) return;
    const std::uint64_t index = (slot - page) / sizeof(Descriptor);
    const Place place{t.level, t.va + index * regime_.span(t.level), through.place.asid};
    born.push_back({{place, slot, now}, holders, {}, {}});
    if (now.is_table(t.level))
      for_each_below(regime_, memory, table_of(regime_, place, now), place.asid,
                     [&](const Place& p, PhysAddr s, Descriptor d) {
                       born.push_back({{p, s, d}, holders, {}, {}});
                     });
  });
  for (const Entry& e : born) make_stale(e.place, e.slot, e.value, e.holders);
}

template <typename Fn>
void Shadow::visit(VirtRange range, Fn&& fn) {
  for (int level = -1; level <= 3; ++level) {
    Entries& entries = at(Level{level});
    if (entries.empty()) continue;
    const VirtAddr first = range.start.align_down(regime_.span(Level{level}));
    for (auto it = std::lower_bound(entries.begin(), entries.end(), first, StartsBefore{});
         it != entries.end() && (range.end == VirtAddr(0) || it->place.va < range.end); ++it)
      fn(*it);
  }
}

void Shadow::for_each_in(VirtRange range, const std::function<void(const Entry&)>& fn) const {
  const_cast<Shadow*>(this)->visit(range, [&](const Entry& e) { fn(e); });
}

// Whoever has completed an invalidation and lacks its own ISB alone walks through the entry no more.
std::vector<Shadow::Kept> Shadow::kept_tables(unsigned cpu, const vmsa::Tlbi& op) const {
  const CpuSet scope = op.op.broadcast ? cpus_ : CpuSet::one(cpu);
  std::vector<Kept> kept;
  for_each([&](const Entry& e) {
    if (!e.is_table()) return;
    const Outcome outcome = outcome_of(regime_, op, e);
    const CpuSet active = e.holders - e.unsynchronised;
    const CpuSet stays = outcome == Outcome::doomed ? active - scope : active;
    if (!stays.empty()) kept.push_back({e.place, e.value, stays, outcome});
  });
  return kept;
}

void Shadow::doom(Entry& e, unsigned cpu, const vmsa::Tlbi& op, CpuSet cpus) {
  issuers_ |= CpuSet::one(cpu).bits;
  const Doom doom{cpu, op.op.broadcast, cpus};
  for (Doom& d : e.dooms) {
    if (d.issuer != cpu || d.broadcast != op.op.broadcast) continue;
    d.cpus = d.cpus | cpus;
    return;
  }
  e.dooms.insert(std::upper_bound(e.dooms.begin(), e.dooms.end(), doom), doom);
}

void Shadow::tlbi(const TableMemory& memory, PhysAddr root, unsigned cpu, const vmsa::Tlbi& op,
                  const Report& report) {
  changed_ = true;
  const CpuSet scope = op.op.broadcast ? cpus_ : CpuSet::one(cpu);
  const std::vector<Kept> kept = kept_tables(cpu, op);
  auto is_on_walk = [&](const TableAt& from, const Entry& e) {
    return table_on_walk(regime_, memory, from, e.place.va, e.place.level) ==
           e.slot.align_down(regime_.page_size());
  };
  auto act = [&](Entry& e) {
    Outcome outcome = outcome_of(regime_, op, e);
    CpuSet reached = e.holders & scope;
    if (outcome == Outcome::doomed && !reached.empty()) {
      const bool group = group_refills(regime_, memory, e);
      const bool in_place = memory.read(e.slot) == e.value;
      if (group && is_on_walk({root, regime_.root_level(), regime_.base()}, e)) {
        outcome = Outcome::contiguous;
        reached = {};
      }
      for (const Kept& t : kept) {
        const bool above = t.place.level < e.place.level && t.place.asid == e.place.asid &&
                           e.place.va - t.place.va < regime_.span(t.place.level);
        if (reached.empty() || !above || !(group || in_place)) continue;
        if (!is_on_walk(table_of(regime_, t.place, t.value), e)) continue;
        reached = reached - t.holders;
        if (reached.empty()) outcome = group && !in_place ? Outcome::contiguous : t.outcome;
      }
      if (!reached.empty()) doom(e, cpu, op, reached);
    }
    if (report && outcome != Outcome::address) {
      const bool partial = outcome == Outcome::doomed && !(e.holders - scope).empty();
      report(e, partial ? Outcome::scope : outcome);
    }
  };
  if (op.op.by_va()) {
    visit(vmsa::tlbi_range(regime_, op), act);
  } else {
    for (Entries& entries : levels_)
      for (Entry& e : entries) act(e);
  }
}

void Shadow::drop_unheld() {
  for (Entries& entries : levels_) std::erase_if(entries, [](const Entry& e) { return e.holders.empty(); });
}

void Shadow::dsb(unsigned cpu, machine::Dsb kind) {
  if (!CpuSet{issuers_}.contains(cpu) || kind == machine::Dsb::ishst || kind == machine::Dsb::nshst) return;
  changed_ = true;
  const CpuSet self = CpuSet::one(cpu);
  for (Entries& entries : levels_) {
    for (Entry& e : entries) {
      for (const Doom& d : e.dooms) {
        if (d.issuer != cpu || !completes(kind, d.broadcast)) continue;
        const CpuSet issuer = is_kernel(e.place.va) ? d.cpus & self : CpuSet{};
        e.unsynchronised = e.unsynchronised | issuer;
        e.holders = e.holders - (d.cpus - issuer);
      }
      std::erase_if(e.dooms, [&](const Doom& d) { return d.issuer == cpu && completes(kind, d.broadcast); });
      // What one CPU has dropped, another's outstanding operation need not drop again.
      for (Doom& d : e.dooms) d.cpus = d.cpus & e.holders;
      std::erase_if(e.dooms, [](const Doom& d) { return d.cpus.empty(); });
      e.unsynchronised = e.unsynchronised & e.holders;
    }
  }
  drop_unheld();
}

void Shadow::isb(unsigned cpu) {
  if (!CpuSet{issuers_}.contains(cpu)) return;
  changed_ = true;
  const CpuSet self = CpuSet::one(cpu);
  for (Entries& entries : levels_) {
    for (Entry& e : entries) {
      if (!e.unsynchronised.contains(cpu)) continue;
      e.unsynchronised = e.unsynchronised - self;
      e.holders = e.holders - self;
      for (Doom& d : e.dooms) d.cpus = d.cpus - self;
      std::erase_if(e.dooms, [](const Doom& d) { return d.cpus.empty(); });
    }
  }
  drop_unheld();
}

void Shadow::for_each_stale_table(const TableMemory& memory, const StaleTable& fn) const {
  for (const Entries& entries : levels_) {
    for (const Entry& e : entries) {
      if (!e.is_table()) continue;
      const TableAt top = table_of(regime_, e.place, e.value);
      fn(top, e.holders, e);
      for_each_below(regime_, memory, top, e.place.asid, [&](const Place& p, PhysAddr, Descriptor d) {
        if (d.is_table(p.level)) fn(table_of(regime_, p, d), e.holders, e);
      });
    }
  }
}

}  // namespace shootdown::shadow
