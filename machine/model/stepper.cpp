// SPDX-License-Identifier: MIT
#include "machine/model/stepper.hpp"

#include <algorithm>
#include <numeric>
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

Violation plain(Harm harm, unsigned cpu, PhysAddr page = {}, const char* text = nullptr) {
  Finding f;
  f.harm = harm;
  f.holders = CpuSet::one(cpu);
  f.page = page;
  return {f, cpu, text};
}

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

std::vector<std::uint64_t> Stepper::answers(unsigned cpu, const Operation& op) const {
  return std::visit([&](const auto& o) { return answers_to(cpu, o); }, op);
}

Stepper::Answers Stepper::answers_to(unsigned cpu, const op::ReadOnce& o) const {
  return {w_.read(cpu, o.slot).bits};
}
Stepper::Answers Stepper::answers_to(unsigned cpu, const op::Cmpxchg& o) const {
  return {w_.read(cpu, o.slot).bits};
}
Stepper::Answers Stepper::answers_to(unsigned cpu, const op::Load& o) const { return translated(cpu, o.va); }
Stepper::Answers Stepper::answers_to(unsigned cpu, const op::Store& o) const { return translated(cpu, o.va); }

Stepper::Answers Stepper::translated(unsigned cpu, VirtAddr va) const {
  Answers all;
  for (const shadow::Reach& x :
       shadow::reach(w_.shadow, w_.memory, setup_.root, cpu, va, setup_.features.hardware_access_flag)) {
    const std::uint64_t value = x.pa ? w_.memory.read(x.pa->align_down(8)).bits : response_fault;
    if (std::find(all.begin(), all.end(), value) == all.end()) all.push_back(value);
  }
  const bool may_fault = w_.unpublished_slot(cpu, setup_.root, va) != PhysAddr{};
  if (may_fault && std::ranges::find(all, response_fault) == all.end()) all.push_back(response_fault);
  return all;
}

const Page* Stepper::free_page(unsigned order) const {
  for (const Page& p : w_.pages)
    if (p.allocatable && p.order == order && (p.state == PageState::free || p.state == PageState::released))
      return &p;
  return nullptr;
}

Stepper::Answers Stepper::answers_to(unsigned, const op::AllocPages& o) const {
  Answers all;
  const Page* page = free_page(o.order);
  if (page != nullptr) all.push_back(page->start.value);
  if (page == nullptr || setup_.allocation_may_fail) all.push_back(0);
  return all;
}
Stepper::Answers Stepper::answers_to(unsigned cpu, const op::TakeDeferred&) const {
  return {w_.deferred[cpu].empty() ? 0 : w_.deferred[cpu].back()};
}
Stepper::Answers Stepper::answers_to(unsigned, const op::PfnValid& o) const {
  return {std::ranges::any_of(w_.memblock, [&](PhysRange r) { return r.contains(o.pa); })};
}
Stepper::Answers Stepper::answers_to(unsigned, const op::TakeLock& o) const {
  const LockState& l = lock(o.lock);
  return l.exclusive == 0 && l.shared == 0 ? Answers{0} : Answers{};
}
Stepper::Answers Stepper::answers_to(unsigned, const op::TakeLockShared& o) const {
  return lock(o.lock).exclusive == 0 ? Answers{0} : Answers{};
}
Stepper::Answers Stepper::answers_to(unsigned, const op::Choose& o) const {
  Answers all(o.count);
  std::iota(all.begin(), all.end(), std::uint64_t{0});
  return all;
}
Stepper::Answers Stepper::answers_to(unsigned, const op::TakeReleased&) const {
  Answers all;
  for (const Page& p : w_.pages)
    if (p.state == PageState::released) all.push_back(p.start.value);
  return all;
}

bool Stepper::is_private(unsigned cpu, const Operation& op) const {
  auto owned = [&](PhysAddr pa) -> const Page* {
    const Page* p = w_.page_at(pa);
    const bool owns = p != nullptr && p->owner == cpu && !p->shared && p->state != PageState::free &&
                      p->state != PageState::released;
    return owns ? p : nullptr;
  };
  auto own_table = [&](PhysAddr slot) {
    const Page* p = owned(slot);
    return p != nullptr && p->state == PageState::table;
  };
  auto concerns_nobody = [&] {
    bool concerned = false;
    w_.shadow.for_each([&](const shadow::Entry& e) {
      concerned |= e.unsynchronised.contains(cpu);
      for (const shadow::Doom& d : e.dooms) concerned |= d.issuer == cpu;
    });
    return !concerned;
  };
  return std::visit(
      Overloaded{[&](const op::ReadOnce& o) { return own_table(o.slot); },
                 [&](const op::WriteOnce& o) { return own_table(o.slot); },
                 [&](const op::DataStore& o) { return owned(o.pa) != nullptr; },
                 [&](const op::ClearPage& o) { return owned(o.page) != nullptr; },
                 [&](const op::DeferFree&) { return true; }, [&](const op::TakeDeferred&) { return true; },
                 [&](const op::MemblockAdd&) { return true; },
                 [&](const op::MemblockRemove&) { return true; }, [&](const op::PfnValid&) { return true; },
                 [&](const op::Isb&) { return concerns_nobody(); },
                 [&](const op::Dsb&) { return w_.buffers[cpu].empty() && concerns_nobody(); },
                 [](const auto&) { return false; }},
      op);
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

// ---- operations on memory -----------------------------------------------------------------------------------

Stepper::Verdict Stepper::act(unsigned cpu, const op::ReadOnce& o, std::uint64_t) {
  return walker_access(cpu, o.slot, false);
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::WriteOnce& o, std::uint64_t) {
  if (auto v = walker_access(cpu, o.slot, true)) return v;
  w_.buffers[cpu].push_back({o.slot, o.value});
  return std::nullopt;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::Cmpxchg& o, std::uint64_t answer) {
  if (auto v = walker_access(cpu, o.slot, true)) return v;
  auto drained = drain_all(cpu);
  if (answer != o.expected.bits) return drained;
  auto v = store_visible(cpu, o.slot, o.desired);
  return drained ? drained : v;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::ClearPage& o, std::uint64_t) {
  auto words = w_.memory.words_in(o.page);
  for (const BufferedStore& s : w_.buffers[cpu])
    if (s.slot.align_down(w_.shadow.regime().page_size()) == o.page) words.push_back(s.slot);
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  for (PhysAddr slot : words)
    if (!w_.read(cpu, slot).none()) w_.buffers[cpu].push_back({slot, Descriptor{}});
  return std::nullopt;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::DataStore& o, std::uint64_t) {
  if (Page* p = w_.page_at(o.pa)) p->carries_data = true;
  w_.buffers[cpu].push_back({o.pa, Descriptor{o.value}});
  return std::nullopt;
}

Stepper::Verdict Stepper::act(unsigned, const op::Load&, std::uint64_t) { return std::nullopt; }
Stepper::Verdict Stepper::act(unsigned, const op::Store&, std::uint64_t) { return std::nullopt; }

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

Stepper::Verdict Stepper::act(unsigned cpu, const op::AllocPages& o, std::uint64_t answer) {
  Page* p = answer != 0 ? w_.page_at(PhysAddr(answer)) : nullptr;
  if (p == nullptr) return std::nullopt;
  const bool again = p->state == PageState::released;
  p->state = o.use == PageUse::table ? PageState::table : PageState::used;
  p->owner = static_cast<std::uint8_t>(cpu);
  p->shared = p->carries_data = false;
  if (!again) return std::nullopt;
  const auto finding = check_release(w_.shadow, w_.memory, setup_.root, p->range(page_shift()));
  return finding ? std::optional(Violation{*finding, cpu}) : std::nullopt;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::FreePages& o, std::uint64_t) {
  auto drained = drain_all(cpu);  // the allocator's lock is released after the page is on its list
  const std::uint64_t bytes = std::uint64_t{1} << (page_shift() + o.order);
  auto v = release(cpu, {o.page, o.page + bytes}, PageState::released);
  return drained ? drained : v;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::DeferFree& o, std::uint64_t) {
  w_.deferred[cpu].push_back(to_word(machine::Deferred{o.page, o.use, o.order}));
  return std::nullopt;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::TakeDeferred&, std::uint64_t answer) {
  if (answer != 0) w_.deferred[cpu].pop_back();
  return std::nullopt;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::ReleaseRange& o, std::uint64_t) {
  auto drained = drain_all(cpu);
  auto v = release(cpu, o.range, PageState::released);
  return drained ? drained : v;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::TakeReleased&, std::uint64_t answer) {
  return release(cpu, w_.page_at(PhysAddr(answer))->range(page_shift()), PageState::reused);
}

Stepper::Verdict Stepper::act(unsigned, const op::MemblockAdd& o, std::uint64_t) {
  w_.memblock.push_back(o.range);
  return std::nullopt;
}
Stepper::Verdict Stepper::act(unsigned, const op::MemblockRemove& o, std::uint64_t) {
  std::erase(w_.memblock, o.range);
  return std::nullopt;
}
Stepper::Verdict Stepper::act(unsigned, const op::PfnValid&, std::uint64_t) { return std::nullopt; }

// ---- barriers and TLBI --------------------------------------------------------------------------------------

Stepper::Verdict Stepper::act(unsigned cpu, const op::Tlbi& o, std::uint64_t) {
  w_.shadow.tlbi(
      w_.memory, setup_.root, cpu, o.tlbi,
      event_ == nullptr ? shadow::Shadow::Report{} : [this](const shadow::Entry& e, shadow::Outcome outcome) {
        event_->invalidated.emplace_back(e, outcome);
      });
  return std::nullopt;
}

template <typename Act>
void Stepper::recording_drops(Act&& act) {
  const shadow::Shadow before = event_ != nullptr ? w_.shadow : shadow::Shadow{};
  act();
  before.for_each([&](const shadow::Entry& e) {
    bool shrunk = true;
    w_.shadow.for_each_in({e.place.va, e.place.va + 1}, [&](const shadow::Entry& now) {
      if (now.same_value(e)) shrunk = now.holders != e.holders;
    });
    if (shrunk) event_->dropped.push_back(e);
  });
}

/// ISH and ISHST make this CPU's stores visible to every walker; the NSH kinds do not.
Stepper::Verdict Stepper::act(unsigned cpu, const op::Dsb& o, std::uint64_t) {
  Verdict v;
  if (o.kind == Dsb::ish || o.kind == Dsb::ishst) v = drain_all(cpu);
  recording_drops([&] { w_.shadow.dsb(cpu, o.kind); });
  return v;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::Isb&, std::uint64_t) {
  recording_drops([&] { w_.shadow.isb(cpu); });
  if (event_ != nullptr) event_->synchronised = w_.unsynchronised[cpu];
  w_.unsynchronised[cpu].clear();
  return std::nullopt;
}

// ---- locks --------------------------------------------------------------------------------------------------

Stepper::Verdict Stepper::act(unsigned cpu, const op::TakeLock& o, std::uint64_t) {
  lock(o.lock).exclusive = static_cast<std::uint8_t>(cpu + 1);
  return std::nullopt;
}
Stepper::Verdict Stepper::act(unsigned cpu, const op::TakeLockShared& o, std::uint64_t) {
  LockState& l = lock(o.lock);
  l.shared = static_cast<std::uint8_t>(l.shared | 1u << cpu);
  return std::nullopt;
}
// What was done under a lock is visible to its next holder.
Stepper::Verdict Stepper::act(unsigned cpu, const op::DropLock& o, std::uint64_t) {
  Verdict v = drain_all(cpu);
  lock(o.lock).exclusive = 0;
  return v;
}
Stepper::Verdict Stepper::act(unsigned cpu, const op::DropLockShared& o, std::uint64_t) {
  Verdict v = drain_all(cpu);
  LockState& l = lock(o.lock);
  l.shared = static_cast<std::uint8_t>(l.shared & ~(1u << cpu));
  return v;
}

// ---- the rest -----------------------------------------------------------------------------------------------

Stepper::Verdict Stepper::act(unsigned, const op::CondResched&, std::uint64_t) { return std::nullopt; }
Stepper::Verdict Stepper::act(unsigned, const op::Choose&, std::uint64_t) { return std::nullopt; }
Stepper::Verdict Stepper::act(unsigned, const op::Done&, std::uint64_t) { return std::nullopt; }
Stepper::Verdict Stepper::act(unsigned cpu, const op::Warn& o, std::uint64_t) {
  return plain(Harm::warning, cpu, {}, o.what);
}
Stepper::Verdict Stepper::act(unsigned cpu, const op::UnexpectedFault& o, std::uint64_t) {
  Violation v = plain(Harm::unexpected_fault, cpu);
  v.finding.va = o.va;
  return v;
}

std::optional<Violation> Stepper::perform(unsigned cpu, const Operation& op, std::uint64_t answer) {
  return std::visit([&](const auto& o) { return act(cpu, o, answer); }, op);
}

}  // namespace shootdown::model
