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

template <typename Operations>
void drop_empty(Operations& all) {
  std::erase_if(all, [](const auto& x) { return x.cpus.empty(); });
}

}  // namespace

Shadow::Shadow(const Regime& regime, unsigned cpu_count, PhysAddr kernel_root)
    : regime_(regime), cpus_(CpuSet::first(cpu_count)) {
  spaces_.front() = {.root = kernel_root, .running = cpus_, .may_hold = cpus_};
}

bool Shadow::empty() const {
  return std::all_of(levels_.begin(), levels_.end(), [](const Entries& e) { return e.empty(); });
}

std::size_t Shadow::size() const {
  std::size_t n = 0;
  for (const Entries& e : levels_) n += e.size();
  return n;
}

Entry* Shadow::find(const Place& place, PhysAddr slot, Descriptor value) {
  const Entry probe{{place, slot, value}, {}, {}, {}, {}};
  Entries& entries = at(place.level);
  auto it = std::lower_bound(entries.begin(), entries.end(), probe, ByKey{});
  return it != entries.end() && it->same_value(probe) ? &*it : nullptr;
}

void Shadow::insert(Entry e) {
  changed_ = true;
  Entries& entries = at(e.place.level);
  auto it = std::lower_bound(entries.begin(), entries.end(), e, ByKey{});
  entries.insert(it, std::move(e));
}

void Shadow::restored() {
  changed_ = true;
  issuers_ = 0;
  auto note = [&](const auto& operations) {
    for (const auto& o : operations) issuers_ |= CpuSet::one(o.issuer).bits;
  };
  for_each([&](const Entry& e) {
    note(e.dooms);
    note(e.flights);
    issuers_ |= e.unsynchronised.bits;
  });
  for (const Space& s : spaces_) {
    note(s.dooms);
    issuers_ |= s.leaving.bits;
  }
}

// ---- address spaces -----------------------------------------------------------------------------------------

std::uint8_t Shadow::space_of(PhysAddr root, std::uint16_t asid) {
  for (std::size_t i = 1; i < spaces_.size(); ++i)
    if (spaces_[i].root == root && spaces_[i].asid == asid) return static_cast<std::uint8_t>(i);
  changed_ = true;
  spaces_.push_back({.root = root, .asid = asid});
  return static_cast<std::uint8_t>(spaces_.size() - 1);
}

TableAt Shadow::top(std::uint8_t space) const {
  return {spaces_[space].root, regime_.root_level(), space == 0 ? regime_.base() : VirtAddr(0)};
}

void Shadow::install(unsigned cpu, std::uint8_t space) {
  changed_ = true;
  issuers_ |= CpuSet::one(cpu).bits;  // its ISB has something to do
  const CpuSet self = CpuSet::one(cpu);
  for (std::uint8_t i = 1; i < spaces_.size(); ++i) {
    Space& s = spaces_[i];
    if (i != space && s.running.contains(cpu)) s.leaving = s.leaving | self;
  }
  if (space == 0) return;
  Space& s = spaces_[space];
  s.running = s.running | self;
  s.leaving = s.leaving - self;
  s.may_hold = s.may_hold | self;
  for (Doom& d : s.dooms) d.cpus = d.cpus - self;
  drop_empty(s.dooms);
  for (Unseen& u : unseen_)
    if (u.space == space) u.cpus = u.cpus - self;
  drop_empty(unseen_);
}

void Shadow::retire(std::uint8_t space, bool retired) {
  changed_ = true;
  spaces_[space].retired = retired;
}

CpuSet Shadow::current_holders(std::uint8_t space, PhysAddr slot) const {
  if (space == 0) return cpus_;
  CpuSet holders = spaces_[space].may_hold;
  for (const Unseen& u : unseen_)
    if (u.space == space && u.slot == slot) holders = holders - u.cpus;
  return holders;
}

void Shadow::set_unseen(std::uint8_t space, PhysAddr slot, CpuSet cpus) {
  if (space == 0) return;
  std::erase_if(unseen_, [&](const Unseen& u) { return u.space == space && u.slot == slot; });
  if (cpus.empty()) return;
  const Unseen u{space, slot, cpus};
  unseen_.insert(std::upper_bound(unseen_.begin(), unseen_.end(), u), u);
}

CpuSet Shadow::harmful_holders(const Entry& e) const {
  CpuSet in_flight;
  for (const Flight& f : e.flights) in_flight = in_flight | f.cpus;
  if (e.place.context.space == 0) return e.holders | in_flight;
  CpuSet holders = e.holders - e.unsynchronised;
  const Space& own = spaces_[e.place.context.space];
  if (own.retired) {
    CpuSet users;
    for (std::size_t i = 1; i < spaces_.size(); ++i)
      if (spaces_[i].asid == own.asid) users = users | spaces_[i].running;
    holders = holders & users;
  }
  return holders | in_flight;
}

// ---- what happens -------------------------------------------------------------------------------------------

// A value that goes stale again is held afresh: invalidations issued before do not concern it.
void Shadow::make_stale(const Place& place, PhysAddr slot, Descriptor value, CpuSet holders) {
  value = as_cached(regime_, place.level, value, hardware_.access_flag);
  if (!cacheable(regime_, place.level, value) || holders.empty()) return;
  if (Entry* e = find(place, slot, value)) {
    e->holders = e->holders | holders;
    e->unsynchronised = e->unsynchronised - holders;
    e->ordered = e->ordered_here = {};
    for (Doom& d : e->dooms) d.cpus = d.cpus - holders;
    drop_empty(e->dooms);
    return;
  }
  insert({{place, slot, value}, holders, {}, {}, {}});
}

// CPUs that have left the space cannot have seen what is written now, unless they still hold it from before.
void Shadow::make_current(const Place& place, PhysAddr slot, Descriptor value) {
  value = as_cached(regime_, place.level, value, hardware_.access_flag);
  const std::uint8_t space = place.context.space;
  CpuSet unseen = space == 0 ? CpuSet{} : spaces_[space].may_hold - spaces_[space].running;
  Entries& entries = at(place.level);
  if (Entry* e = find(place, slot, value)) {
    unseen = unseen - e->holders;
    if (e->flights.empty())
      entries.erase(entries.begin() + (e - entries.data()));
    else
      e->holders = e->unsynchronised = e->ordered = e->ordered_here = {}, e->dooms.clear();
  }
  set_unseen(space, slot, unseen);
}

/// One entry may stand for a whole contiguous group: addresses whose own descriptors are invalid, or others, are
/// translated by it too (R_LQLSD).
void Shadow::group_goes_stale(const TableMemory& memory, const Place& place, PhysAddr slot, Descriptor old) {
  for_each_group_member(regime_, {place, slot, old}, [&](const Held& other) {
    const Descriptor now = as_cached(regime_, place.level, memory.read(other.slot), hardware_.access_flag);
    if (now != as_cached(regime_, place.level, other.value, hardware_.access_flag))
      make_stale(other.place, other.slot, other.value, current_holders(place.context.space, slot));
  });
}

void Shadow::store_linked(const TableMemory& memory, const Place& place, PhysAddr slot, Descriptor old,
                          Descriptor now) {
  if (as_cached(regime_, place.level, old, hardware_.access_flag) ==
      as_cached(regime_, place.level, now, hardware_.access_flag))
    return;
  changed_ = true;
  const std::uint8_t space = place.context.space;
  make_stale(place, slot, old, current_holders(space, slot));
  group_goes_stale(memory, place, slot, old);
  if (old.is_table(place.level))
    for_each_below(regime_, memory, table_of(regime_, place, old), place.context,
                   [&](const Place& p, PhysAddr s, Descriptor d) {
                     make_stale(p, s, d, current_holders(space, s));
                     group_goes_stale(memory, p, s, d);
                   });
  make_current(place, slot, now);
  if (now.is_table(place.level))
    for_each_below(regime_, memory, table_of(regime_, place, now), place.context,
                   [&](const Place& p, PhysAddr s, Descriptor d) { make_current(p, s, d); });
}

void Shadow::own_store_visible(const Place& place, PhysAddr slot, Descriptor old, unsigned cpu,
                               unsigned view) {
  Entry* e = find(place, slot, as_cached(regime_, place.level, old, hardware_.access_flag));
  if (e == nullptr || !e->holders.contains(cpu)) return;
  const CpuSet self = CpuSet::one(cpu);
  if ((view & 1) != 0 && may_be_reached(*e, cpu)) e->ordered_here = e->ordered_here | self;
  if ((view & 16) != 0)
    e->holders = e->holders - self;
  else if ((view & 8) != 0)
    e->unsynchronised = e->unsynchronised | self, issuers_ |= self.bits;
  else if ((view & 4) != 0)
    doom(e->dooms, cpu, {.op = {.broadcast = false}}, self);
  drop_unheld();
}

void Shadow::store_unlinked(const TableMemory& memory, PhysAddr slot, Descriptor now) {
  changed_ = true;
  const PhysAddr page = slot.align_down(regime_.page_size());
  std::vector<Entry> born;
  for_each_stale_table(memory, [&](const TableAt& t, CpuSet holders, const Entry& through) {
    if (t.page != page || holders.empty()) return;
    const std::uint64_t index = (slot - page) / sizeof(Descriptor);
    const Place place{t.level, t.va + index * regime_.span(t.level), through.place.context};
    born.push_back({{place, slot, now}, holders, {}, {}, {}});
    if (now.is_table(t.level))
      for_each_below(regime_, memory, table_of(regime_, place, now), place.context,
                     [&](const Place& p, PhysAddr s, Descriptor d) {
                       born.push_back({{p, s, d}, holders, {}, {}, {}});
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

void Shadow::for_each_in(VirtRange range, FunctionRef<void(const Entry&)> fn) const {
  const_cast<Shadow*>(this)->visit(range, [&](const Entry& e) { fn(e); });
}

/// What a TLBI of this CPU does to an entry that nothing refills. A change that no DSB has ordered before it has not
/// happened yet for the TLBI: hardware may bring the old value back (R_GPPYH).
Outcome Shadow::outcome(const Entry& e, unsigned cpu, const vmsa::Tlbi& op) const {
  const Outcome by_operand = outcome_of(regime_, op, e);
  if (by_operand != Outcome::doomed) return by_operand;
  return (op.op.broadcast ? e.ordered : e.ordered_here).contains(cpu) ? Outcome::doomed : Outcome::early;
}

// Whoever has completed an invalidation and lacks its own ISB alone walks through the entry no more.
std::vector<Shadow::Kept> Shadow::kept_tables(unsigned cpu, const vmsa::Tlbi& op) const {
  const CpuSet scope = op.op.broadcast ? cpus_ : CpuSet::one(cpu);
  std::vector<Kept> kept;
  for_each([&](const Entry& e) {
    if (!e.is_table()) return;
    const Outcome outcome = this->outcome(e, cpu, op);
    const CpuSet active = e.holders - e.unsynchronised;
    const CpuSet stays = outcome == Outcome::doomed ? active - scope : active;
    if (!stays.empty()) kept.push_back({e.place, e.value, stays, outcome});
  });
  return kept;
}

void Shadow::doom(std::vector<Doom>& dooms, unsigned cpu, const vmsa::Tlbi& op, CpuSet cpus) {
  issuers_ |= CpuSet::one(cpu).bits;
  const Doom doom{cpu, op.op.broadcast, cpus};
  for (Doom& d : dooms) {
    if (d.issuer != cpu || d.broadcast != op.op.broadcast) continue;
    d.cpus = d.cpus | cpus;
    return;
  }
  dooms.insert(std::upper_bound(dooms.begin(), dooms.end(), doom), doom);
}

/// An operation on a whole space drops all that CPUs hold of it which do not run it: they cannot walk it again.
void Shadow::doom_spaces(unsigned cpu, const vmsa::Tlbi& op) {
  if (op.op.by_va()) return;
  const CpuSet scope = op.op.broadcast ? cpus_ : CpuSet::one(cpu);
  for (std::size_t i = 1; i < spaces_.size(); ++i) {
    Space& s = spaces_[i];
    if (op.op.by_asid() && op.asid != s.asid) continue;
    const CpuSet dropped = (s.may_hold & scope) - s.running;
    if (!dropped.empty()) doom(s.dooms, cpu, op, dropped);
  }
}

void Shadow::tlbi(const TableMemory& memory, unsigned cpu, const vmsa::Tlbi& op, Report report) {
  changed_ = true;
  const CpuSet scope = op.op.broadcast ? cpus_ : CpuSet::one(cpu);
  const std::vector<Kept> kept = kept_tables(cpu, op);
  auto is_on_walk = [&](const TableAt& from, const Entry& e) {
    return table_on_walk(regime_, memory, from, e.place.va, e.place.level) ==
           e.slot.align_down(regime_.page_size());
  };
  auto is_in_place = [&](const Entry& e) {
    return as_cached(regime_, e.place.level, memory.read(e.slot), hardware_.access_flag) == e.value;
  };
  auto act = [&](Entry& e) {
    if (op.op.broadcast)
      for (Flight& f : e.flights) f.repeated |= f.issuer == cpu;
    Outcome outcome = this->outcome(e, cpu, op);
    CpuSet reached = e.holders & scope;
    if (outcome == Outcome::doomed && !reached.empty()) {
      const bool group = group_refills(regime_, memory, e);
      const bool in_place = is_in_place(e);
      if (group && is_on_walk(top(e.place.context.space), e)) {
        outcome = Outcome::contiguous;
        reached = {};
      }
      for (const Kept& t : kept) {
        const bool above = t.place.level < e.place.level && t.place.context == e.place.context &&
                           e.place.va - t.place.va < regime_.span(t.place.level);
        if (reached.empty() || !above || !(group || in_place)) continue;
        if (!is_on_walk(table_of(regime_, t.place, t.value), e)) continue;
        reached = reached - t.holders;
        if (reached.empty()) outcome = group && !in_place ? Outcome::contiguous : t.outcome;
      }
      if (!reached.empty()) doom(e.dooms, cpu, op, reached);
    }
    if (report && outcome != Outcome::address) {
      const bool partial = outcome == Outcome::doomed && !(e.holders - scope).empty();
      report(e, partial ? Outcome::scope : outcome);
    }
  };
  // With the erratum, any operation of the issuer is the repetition of its earlier ones, whatever it names.
  if (op.op.by_va() && !(hardware_.repeat_tlbi && op.op.broadcast)) {
    visit(vmsa::tlbi_range(regime_, op), act);
  } else {
    for (Entries& entries : levels_)
      for (Entry& e : entries) act(e);
  }
  doom_spaces(cpu, op);
}

void Shadow::drop_unheld() {
  for (Entries& entries : levels_)
    std::erase_if(entries, [](const Entry& e) { return e.holders.empty() && e.flights.empty(); });
}

bool Shadow::may_be_reached(const Entry& e, unsigned cpu) const {
  if (issued_ == nullptr || cpu >= issued_->size()) return true;
  return std::ranges::any_of(
      (*issued_)[cpu], [&](const vmsa::Tlbi& t) { return outcome_of(regime_, t, e) != Outcome::address; });
}

void Shadow::complete(Entry& e, unsigned cpu, machine::Dsb kind) {
  const CpuSet self = CpuSet::one(cpu);
  auto ours = [&](const Doom& d) { return d.issuer == cpu && completes(kind, d.broadcast); };
  if (completes(kind, /*broadcast=*/true))
    std::erase_if(e.flights, [&](const Flight& f) { return f.issuer == cpu && f.repeated; });
  for (const Doom& d : e.dooms) {
    if (!ours(d)) continue;
    const CpuSet dropped = (d.cpus - self) & e.holders;
    e.unsynchronised = e.unsynchronised | (d.cpus & self);
    e.holders = e.holders - dropped;
    const bool may_have_stored = !e.is_table() && vmsa::is_writable(e.value);
    if (hardware_.repeat_tlbi && d.broadcast && may_have_stored && !dropped.empty()) {
      const Flight f{cpu, false, dropped};
      e.flights.insert(std::upper_bound(e.flights.begin(), e.flights.end(), f), f);
    }
  }
  std::erase_if(e.dooms, ours);
  // What one CPU has dropped, another's outstanding operation need not drop again.
  for (Doom& d : e.dooms) d.cpus = d.cpus & e.holders;
  drop_empty(e.dooms);
  e.unsynchronised = e.unsynchronised & e.holders;
}

void Shadow::dsb(unsigned cpu, machine::Dsb kind) {
  const CpuSet self = CpuSet::one(cpu);
  for (Entries& entries : levels_)
    for (Entry& e : entries) {
      const bool wide = orders_before_tlbi(kind, /*broadcast=*/true);
      if ((e.ordered_here.contains(cpu) && (!wide || e.ordered.contains(cpu))) || !may_be_reached(e, cpu))
        continue;
      changed_ = true;
      e.ordered_here = e.ordered_here | self;
      if (wide) e.ordered = e.ordered | self;
    }
  if (!CpuSet{issuers_}.contains(cpu) || kind == machine::Dsb::ishst || kind == machine::Dsb::nshst) return;
  changed_ = true;
  for (Entries& entries : levels_)
    for (Entry& e : entries) complete(e, cpu, kind);
  for (Space& s : spaces_) {
    for (const Doom& d : s.dooms)
      if (d.issuer == cpu && completes(kind, d.broadcast)) s.may_hold = s.may_hold - d.cpus;
    std::erase_if(s.dooms, [&](const Doom& d) { return d.issuer == cpu && completes(kind, d.broadcast); });
  }
  for (Unseen& u : unseen_) u.cpus = u.cpus & spaces_[u.space].may_hold;
  drop_empty(unseen_);
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
      drop_empty(e.dooms);
    }
  }
  for (Space& s : spaces_) {
    if (!s.leaving.contains(cpu)) continue;
    s.running = s.running - self;
    s.leaving = s.leaving - self;
  }
  drop_unheld();
}

void Shadow::for_each_stale_table(const TableMemory& memory, StaleTable fn) const {
  for (const Entries& entries : levels_) {
    for (const Entry& e : entries) {
      if (!e.is_table()) continue;
      const TableAt top = table_of(regime_, e.place, e.value);
      fn(top, e.holders, e);
      for_each_below(regime_, memory, top, e.place.context, [&](const Place& p, PhysAddr, Descriptor d) {
        if (d.is_table(p.level)) fn(table_of(regime_, p, d), e.holders, e);
      });
    }
  }
}

}  // namespace shootdown::shadow
