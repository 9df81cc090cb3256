// SPDX-License-Identifier: MIT
#include "machine/model/stepper.hpp"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

namespace shootdown::model {
namespace {

using machine::Dsb;
using machine::Lock;
using machine::PageUse;
using shadow::CpuSet;
using shadow::Finding;
using shadow::Harm;
using shadow::TableAt;

LockState& lock_of(World& w, const Op& op) { return w.locks[static_cast<std::size_t>(op.a)]; }

Violation plain(Harm harm, unsigned cpu, PhysAddr page = {}, const char* text = nullptr) {
  Finding f;
  f.harm = harm;
  f.holders = CpuSet::one(cpu);
  f.page = page;
  return {f, cpu, text};
}

PhysRange range_of(const Op& op) { return {PhysAddr(op.a), PhysAddr(op.b)}; }

/// Every place at which a page is linked as a table in the live tree.
std::vector<TableAt> linked_places(const World& w, PhysAddr root, PhysAddr page) {
  const auto& r = w.shadow.regime();
  std::vector<TableAt> places;
  const TableAt top{root, r.root_level(), r.base()};
  if (page == root) places.push_back(top);
  shadow::for_each_below(r, w.memory, top, 0, [&](const shadow::Place& p, PhysAddr, Descriptor d) {
    if (!d.is_table(p.level)) return;
    const TableAt t = shadow::table_of(r, p, d);
    if (t.page == page) places.push_back(t);
  });
  return places;
}

}  // namespace

// ---- answers ------------------------------------------------------------------------------------------------

bool Stepper::can_lock(const Op& op) const {
  const LockState& l = lock_of(w_, op);
  return l.exclusive == 0 && (op.kind == OpKind::lock_shared || l.shared == 0);
}

const Page* Stepper::free_page(unsigned order) const {
  for (const Page& p : w_.pages)
    if (p.allocatable && p.order == order && (p.state == PageState::free || p.state == PageState::released))
      return &p;
  return nullptr;
}

std::vector<std::uint64_t> Stepper::answers(unsigned cpu, const Op& op) const {
  switch (op.kind) {
    case OpKind::done: return {};
    case OpKind::read: return {w_.read(cpu, PhysAddr(op.a)).bits};
    case OpKind::cmpxchg: return {w_.read(cpu, PhysAddr(op.a)).bits};
    case OpKind::load:
    case OpKind::store: {
      std::vector<std::uint64_t> all;
      for (const shadow::Reach& x : shadow::reach(w_.shadow, w_.memory, setup_.root, cpu, VirtAddr(op.a),
                                                  setup_.features.hardware_access_flag)) {
        const std::uint64_t value = x.pa ? w_.memory.read(x.pa->align_down(8)).bits : response_fault;
        if (std::find(all.begin(), all.end(), value) == all.end()) all.push_back(value);
      }
      const bool may_fault = w_.unpublished_slot(cpu, setup_.root, VirtAddr(op.a)) != PhysAddr{};
      if (may_fault && std::ranges::find(all, response_fault) == all.end()) all.push_back(response_fault);
      return all;
    }
    case OpKind::alloc: {
      std::vector<std::uint64_t> all;
      const Page* page = free_page(static_cast<unsigned>(op.b));
      if (page != nullptr) all.push_back(page->start.value);
      if (page == nullptr || setup_.allocation_may_fail) all.push_back(0);
      return all;
    }
    case OpKind::take_deferred: return {w_.deferred[cpu].empty() ? 0 : w_.deferred[cpu].back()};
    case OpKind::pfn_valid:
      return {std::any_of(w_.memblock.begin(), w_.memblock.end(),
                          [&](PhysRange r) { return r.contains(PhysAddr(op.a)); })};
    case OpKind::lock:
    case OpKind::lock_shared:
      return can_lock(op) ? std::vector<std::uint64_t>{0} : std::vector<std::uint64_t>{};
    case OpKind::choose: {
      std::vector<std::uint64_t> all(op.a);
      for (std::uint64_t i = 0; i < op.a; ++i) all[i] = i;
      return all;
    }
    case OpKind::take_released: {
      std::vector<std::uint64_t> all;
      for (const Page& p : w_.pages)
        if (p.state == PageState::released) all.push_back(p.start.value);
      return all;
    }
    default: return {0};
  }
}

bool Stepper::is_private(unsigned cpu, const Op& op) const {
  auto owns = [&](std::uint64_t pa) {
    const Page* p = w_.page_at(PhysAddr(pa));
    return p != nullptr && p->owner == cpu && !p->shared && p->state != PageState::free &&
           p->state != PageState::released;
  };
  switch (op.kind) {
    case OpKind::read:
    case OpKind::write: return owns(op.a) && w_.page_at(PhysAddr(op.a))->state == PageState::table;
    case OpKind::data_store:
    case OpKind::clear_page: return owns(op.a);
    case OpKind::defer:
    case OpKind::take_deferred:
    case OpKind::memblock_add:
    case OpKind::memblock_remove:
    case OpKind::pfn_valid: return true;
    case OpKind::isb:
    case OpKind::dsb: {
      if (op.kind == OpKind::dsb && !w_.buffers[cpu].empty()) return false;
      bool concerned = false;
      w_.shadow.for_each([&](const shadow::Entry& e) {
        concerned |= e.unsynchronised.contains(cpu);
        for (const shadow::Doom& d : e.dooms) concerned |= d.issuer == cpu;
      });
      return !concerned;
    }
    default: return false;
  }
}

// ---- stores -------------------------------------------------------------------------------------------------

std::vector<unsigned> Stepper::drainable(unsigned cpu) const {
  const auto& buffer = w_.buffers[cpu];
  std::vector<unsigned> all;
  for (unsigned i = 0; i < buffer.size(); ++i) {
    const bool oldest = std::none_of(buffer.begin(), buffer.begin() + i,
                                     [&](const BufferedStore& s) { return s.slot == buffer[i].slot; });
    if (oldest) all.push_back(i);
  }
  return all;
}

std::optional<Violation> Stepper::drain(unsigned cpu, unsigned index) {
  auto& buffer = w_.buffers[cpu];
  const BufferedStore s = buffer[index];
  buffer.erase(buffer.begin() + index);
  return store_visible(cpu, s.slot, s.value);
}

std::optional<Violation> Stepper::drain_all(unsigned cpu) {
  std::optional<Violation> first;
  while (!w_.buffers[cpu].empty()) {
    auto v = drain(cpu, 0);
    if (!first) first = std::move(v);
  }
  return first;
}

std::optional<Violation> Stepper::store_visible(unsigned cpu, PhysAddr slot, Descriptor now) {
  const auto& r = w_.shadow.regime();
  const PhysAddr page = slot.align_down(r.page_size());
  const Descriptor before = w_.memory.read(slot);
  const auto places = linked_places(w_, setup_.root, page);
  w_.memory.write(slot, now);
  note_unsynchronised(cpu, slot, before, now);
  if (event_ != nullptr) event_->stores.push_back({slot, before, now});
  if (!w_.shadow.empty()) w_.shadow.store_unlinked(w_.memory, slot, now);
  std::optional<Violation> violation;
  for (const TableAt& t : places) {
    const shadow::Place place{t.level, t.va + (slot - page) / sizeof(Descriptor) * r.span(t.level)};
    w_.shadow.store_linked(w_.memory, place, slot, before, now);
    auto found = check_exposed(w_.shadow, w_.memory, place, slot, now, setup_.features.bbm);
    if (!found) found = exposed_garbage(place, slot, now);
    if (found && !violation) violation = Violation{*found, cpu};
  }
  return violation;
}

/// Invalid has become valid: whoever stored it may have seen the fault ahead, and must forget it by an ISB.
void Stepper::note_unsynchronised(unsigned cpu, PhysAddr slot, Descriptor before, Descriptor now) {
  const Page* page = w_.page_at(slot);
  if (page == nullptr || page->state != PageState::table) return;
  for (auto& slots : w_.unsynchronised) std::erase(slots, slot);
  auto& own = w_.unsynchronised[cpu];
  if (!before.valid() && now.valid()) own.insert(std::ranges::lower_bound(own, slot), slot);
}

/// What has just become reachable must lead to pages that somebody owns, and tables to tables. It does not when
/// a table was linked before its zeroing is visible: walkers take what its last owner left for descriptors.
std::optional<Finding> Stepper::exposed_garbage(const shadow::Place& place, PhysAddr slot,
                                                Descriptor now) const {
  const auto& r = w_.shadow.regime();
  std::optional<Finding> found;
  auto look = [&](const shadow::Place& p, PhysAddr at, Descriptor d) {
    if (found || !shadow::cacheable(r, p.level, d)) return;
    const bool table = d.is_table(p.level);
    const Page* target = w_.page_at(vmsa::output_address(r, p.level, d));
    const bool owned =
        target != nullptr && target->state != PageState::free && target->state != PageState::released;
    if (owned && (!table || target->state == PageState::table)) return;
    Finding f;
    f.harm = table ? Harm::stale_table : Harm::stale_page;
    f.holders = w_.shadow.cpus();
    f.entry = shadow::Entry{{p, at, d}, f.holders, {}, {}};
    f.va = p.va;
    f.now = d;
    f.page = target != nullptr ? target->start : vmsa::output_address(r, p.level, d);
    found = f;
  };
  look(place, slot, now);
  if (now.is_table(place.level))
    shadow::for_each_below(r, w_.memory, shadow::table_of(r, place, now), place.asid, look);
  return found;
}

/// A procedure looks at, or writes, a slot: its page must still be a table.
std::optional<Violation> Stepper::walker_access(unsigned cpu, PhysAddr slot, bool writes) const {
  const Page* p = w_.page_at(slot);
  if (p == nullptr) throw std::logic_error(fmt::format("model: no page at {:#x}", slot.value));
  if (p->state != PageState::table) return plain(Harm::walker_table, cpu, p->start);
  if (writes && p->owner != cpu && !p->shared)
    throw std::logic_error(fmt::format("model: CPU {} writes the table at {:#x}, private to CPU {}", cpu,
                                       p->start.value, p->owner));
  return std::nullopt;
}

std::optional<Violation> Stepper::clear_page(unsigned cpu, PhysAddr page) {
  auto words = w_.memory.words_in(page);
  for (const BufferedStore& s : w_.buffers[cpu])
    if (s.slot.align_down(w_.shadow.regime().page_size()) == page) words.push_back(s.slot);
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  for (PhysAddr slot : words)
    if (!w_.read(cpu, slot).none()) w_.buffers[cpu].push_back({slot, Descriptor{}});
  return std::nullopt;
}

std::optional<Violation> Stepper::data_store(unsigned cpu, PhysAddr slot, std::uint64_t value) {
  if (Page* p = w_.page_at(slot)) p->carries_data = true;
  w_.buffers[cpu].push_back({slot, Descriptor{value}});
  return std::nullopt;
}

std::optional<Violation> Stepper::compare_and_swap(unsigned cpu, const Op& op, std::uint64_t answer) {
  if (auto v = walker_access(cpu, PhysAddr(op.a), true)) return v;
  auto drained = drain_all(cpu);
  if (answer != op.b) return drained;
  auto v = store_visible(cpu, PhysAddr(op.a), Descriptor{op.c});
  return drained ? drained : v;
}

// ---- hardware walks -----------------------------------------------------------------------------------------

std::vector<Stepper::FlagUpdate> Stepper::flag_updates() const {
  std::vector<FlagUpdate> all;
  if (!setup_.features.hardware_access_flag) return all;
  const auto& r = w_.shadow.regime();
  w_.shadow.for_each_stale_table(
      w_.memory, [&](const TableAt& t, CpuSet holders, const shadow::Entry& through) {
        if (t.level > vmsa::page_level) return;
        w_.memory.for_each_valid(t.page, r.entry_count(t.level), [&](unsigned i, Descriptor d) {
          const PhysAddr slot = t.page + i * sizeof(Descriptor);
          const bool flagged =
              shadow::is_leaf(r, t.level, d) || (setup_.features.hardware_table_flag && d.is_table(t.level));
          if (!flagged || d.accessed()) return;
          const bool known =
              std::any_of(all.begin(), all.end(), [&](const FlagUpdate& u) { return u.slot == slot; });
          if (!known) all.push_back({slot, through, holders});
        });
      });
  return all;
}

std::optional<Violation> Stepper::update_flag(const FlagUpdate& u) {
  const Page* page = w_.page_at(u.slot);
  const bool foreign = page != nullptr && (page->carries_data || page->state == PageState::reused);
  const unsigned cpu = u.holders.lowest();
  const Descriptor now{w_.memory.read(u.slot).bits | Descriptor::accessed_bit};
  auto v = store_visible(cpu, u.slot, now);
  if (!foreign) return v;
  Finding f;
  f.harm = Harm::stale_table;
  f.holders = u.holders;
  f.entry = u.through;
  f.va = u.through.place.va;
  f.page = page->start;
  return Violation{f, cpu, nullptr, true};
}

// ---- release and reuse --------------------------------------------------------------------------------------

std::optional<Violation> Stepper::release(unsigned cpu, PhysRange range, PageState to) {
  std::optional<Violation> linked;
  for (Page& p : w_.pages) {
    if (!p.range(page_shift()).overlaps(range)) continue;
    if (p.state == PageState::table && !linked) linked = still_linked(cpu, p.start);
    p.state = to;
    p.owner = static_cast<std::uint8_t>(cpu);
    p.shared = false;
  }
  if (linked) return linked;
  const auto finding = check_release(w_.shadow, w_.memory, setup_.root, range);
  return finding ? std::optional(Violation{*finding, cpu}) : std::nullopt;
}

/// A table that the live tree still points to: every walker may go on using it.
std::optional<Violation> Stepper::still_linked(unsigned cpu, PhysAddr page) const {
  const auto& r = w_.shadow.regime();
  const auto places = linked_places(w_, setup_.root, page);
  if (places.empty()) return std::nullopt;
  const TableAt& t = places.front();
  Finding f;
  f.harm = Harm::stale_table;
  f.holders = w_.shadow.cpus();
  f.entry = {{{t.level.above(), t.va}, {}, vmsa::make_table(r, page)}, f.holders, {}, {}};
  f.va = t.va;
  f.page = page;
  return Violation{f, cpu};
}

// ---- barriers, TLBI, locks ----------------------------------------------------------------------------------

std::optional<Violation> Stepper::tlbi(unsigned cpu, const vmsa::Tlbi& t) {
  w_.shadow.tlbi(
      w_.memory, setup_.root, cpu, t,
      event_ == nullptr ? shadow::Shadow::Report{} : [this](const shadow::Entry& e, shadow::Outcome o) {
        event_->invalidated.emplace_back(e, o);
      });
  return std::nullopt;
}

/// ISH and ISHST make this CPU's stores visible to every walker; the NSH kinds do not.
std::optional<Violation> Stepper::barrier(unsigned cpu, const Op& op) {
  std::optional<Violation> v;
  const auto kind = static_cast<Dsb>(op.a);
  if (op.kind == OpKind::dsb && (kind == Dsb::ish || kind == Dsb::ishst)) v = drain_all(cpu);
  const shadow::Shadow before = event_ != nullptr ? w_.shadow : shadow::Shadow{};
  if (op.kind == OpKind::isb) {
    w_.shadow.isb(cpu);
    if (event_ != nullptr) event_->synchronised = w_.unsynchronised[cpu];
    w_.unsynchronised[cpu].clear();
  } else {
    w_.shadow.dsb(cpu, kind);
  }
  before.for_each([&](const shadow::Entry& e) {
    bool shrunk = true;
    w_.shadow.for_each_in({e.place.va, e.place.va + 1}, [&](const shadow::Entry& now) {
      if (now.same_value(e)) shrunk = now.holders != e.holders;
    });
    if (shrunk) event_->dropped.push_back(e);
  });
  return v;
}

void Stepper::unlock(unsigned cpu, const Op& op) {
  LockState& l = lock_of(w_, op);
  if (op.kind == OpKind::unlock)
    l.exclusive = 0;
  else
    l.shared = static_cast<std::uint8_t>(l.shared & ~(1u << cpu));
}

std::optional<Violation> Stepper::perform(unsigned cpu, const Op& op, std::uint64_t answer) {
  const PhysAddr a(op.a);
  switch (op.kind) {
    case OpKind::read: return walker_access(cpu, a, false);
    case OpKind::write:
      if (auto v = walker_access(cpu, a, true)) return v;
      w_.buffers[cpu].push_back({a, Descriptor{op.b}});
      return std::nullopt;
    case OpKind::cmpxchg: return compare_and_swap(cpu, op, answer);
    case OpKind::dsb:
    case OpKind::isb: return barrier(cpu, op);
    case OpKind::tlbi: return tlbi(cpu, op.tlbi);
    case OpKind::alloc:
      if (Page* p = answer != 0 ? w_.page_at(PhysAddr(answer)) : nullptr) {
        const bool again = p->state == PageState::released;
        p->state = static_cast<PageUse>(op.a) == PageUse::table ? PageState::table : PageState::used;
        p->owner = static_cast<std::uint8_t>(cpu);
        p->shared = p->carries_data = false;
        const auto finding =
            again ? check_release(w_.shadow, w_.memory, setup_.root, p->range(page_shift())) : std::nullopt;
        if (finding) return Violation{*finding, cpu};
      }
      return std::nullopt;
    case OpKind::clear_page: return clear_page(cpu, a);
    case OpKind::free: {
      auto drained = drain_all(cpu);  // the allocator's lock is released after the page is on its list
      const std::uint64_t bytes = std::uint64_t{1} << (page_shift() + op.c);
      auto v = release(cpu, {a, a + bytes}, PageState::released);
      return drained ? drained : v;
    }
    case OpKind::defer: w_.deferred[cpu].push_back(op.a); return std::nullopt;
    case OpKind::take_deferred:
      if (answer != 0) w_.deferred[cpu].pop_back();
      return std::nullopt;
    case OpKind::release_range: {
      auto drained = drain_all(cpu);
      auto v = release(cpu, range_of(op), PageState::released);
      return drained ? drained : v;
    }
    case OpKind::take_released: {
      const Page* p = w_.page_at(PhysAddr(answer));
      return release(cpu, p->range(page_shift()), PageState::reused);
    }
    case OpKind::data_store: return data_store(cpu, a, op.b);
    case OpKind::memblock_add: w_.memblock.push_back(range_of(op)); return std::nullopt;
    case OpKind::memblock_remove: std::erase(w_.memblock, range_of(op)); return std::nullopt;
    case OpKind::lock: lock_of(w_, op).exclusive = static_cast<std::uint8_t>(cpu + 1); return std::nullopt;
    case OpKind::lock_shared:
      lock_of(w_, op).shared = static_cast<std::uint8_t>(lock_of(w_, op).shared | 1u << cpu);
      return std::nullopt;
    case OpKind::unlock:
    case OpKind::unlock_shared: {
      auto v = drain_all(cpu);  // what was done under the lock is visible to its next holder
      unlock(cpu, op);
      return v;
    }
    case OpKind::warn: return plain(Harm::warning, cpu, {}, op.text);
    case OpKind::unexpected_fault: {
      Violation v = plain(Harm::unexpected_fault, cpu);
      v.finding.va = VirtAddr(op.a);
      return v;
    }
    case OpKind::load:
    case OpKind::store:
    case OpKind::pfn_valid:
    case OpKind::choose:
    case OpKind::done: return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace shootdown::model
