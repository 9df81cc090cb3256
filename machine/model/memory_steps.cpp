// SPDX-License-Identifier: MIT
// Words: reads that may be early, stores that become visible later, atomics, and what a store exposes.
#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "machine/model/stepper.hpp"

namespace shootdown::model {

using machine::Order;
using machine::Word;
using shadow::CpuSet;
using shadow::Finding;
using shadow::Harm;
using shadow::TableAt;

namespace {

bool has_own_store(const World& w, unsigned cpu, PhysAddr slot) { return w.own_store(cpu, slot) != nullptr; }

}  // namespace

// ---- reads --------------------------------------------------------------------------------------------------

/// A read returns this CPU's own youngest store; else what the word is, or, early, what it has been since the CPU's
/// reads were last ordered.
std::vector<Stepper::Readable> Stepper::readable(unsigned cpu, PhysAddr pa) const {
  if (looked_at_ != nullptr) looked_at_->push_back(pa);
  if (const Buffered* own = w_.own_store(cpu, pa)) return {{own->value, Readable::own_store}};
  std::vector<Readable> all{{w_.memory.read(pa).bits, Readable::memory}};
  const auto& early = w_.cpus[cpu].early;
  for (std::size_t i = 0; i < early.size(); ++i)
    if (early[i].slot == pa) all.push_back({early[i].value, static_cast<int>(i)});
  return all;
}

/// What a read makes of later ones: none to this word is older than it; one whose address came out of the value is not
/// older than the value; behind an acquire none is older than it.
void Stepper::has_read(unsigned cpu, PhysAddr pa, const Readable& what, Order order) {
  auto& early = cpu_at(cpu).early;
  if (what.early >= 0) {
    read_early_ = true;
    auto older = [&](const Early& e) {
      return e.slot == pa && &e < &early[static_cast<std::size_t>(what.early)];
    };
    std::vector<Early> kept;
    for (const Early& e : early)
      if (!older(e)) kept.push_back(e);
    early = std::move(kept);
    if (event_ != nullptr) event_->read_early = true;
    return;
  }
  if (what.early == Readable::memory)
    std::erase_if(early, [&](const Early& e) { return e.slot == pa || e.guard == pa; });
  if (acquires(order)) order_reads(cpu);
}

/// A value is replaced: others may still read it. Where the new value is the address of a table, what that table's words
/// were before is out of reach of whoever comes by it.
void Stepper::remember_early(unsigned writer, PhysAddr slot, std::uint64_t before, Descriptor now) {
  if (!setup_.early_reads) return;
  for (unsigned cpu = 0; cpu < w_.cpu_count(); ++cpu) {
    auto& early = cpu_at(cpu).early;
    if (now.valid()) {
      const PhysAddr target = page_of(PhysAddr(now.bits & 0x0000'ffff'ffff'f000));
      for (Early& e : early)
        if (page_of(e.slot) == target && e.guard == PhysAddr{}) e.guard = slot;
    }
    // Behind its own store, visible or not yet, a CPU reads nothing older.
    if (cpu == writer || w_.cpus[cpu].over || has_own_store(w_, cpu, slot)) continue;
    if (ahead_ != nullptr && !ahead_->watches(w_.cpus[cpu].watched, slot)) continue;
    const auto end = std::ranges::upper_bound(early, slot, {}, &Early::slot);
    if (end != early.begin() && std::prev(end)->slot == slot && std::prev(end)->value == before) continue;
    early.insert(end, {slot, before, {}});
  }
}

/// A procedure looks at, or writes, a word: its page must still be what the procedure takes it for.
Stepper::Verdict Stepper::access_word(unsigned cpu, PhysAddr slot, Word word) {
  Page* p = w_.page_at(slot);
  if (p == nullptr) throw std::logic_error(fmt::format("model: no page at {:#x}", slot.value));
  const bool foreign = p->usage.state == PageState::reused && p->usage.owner != cpu;
  if (word == Word::descriptor && p->usage.state != PageState::table)
    return plain(Harm::walker_table, cpu, p->start);
  if (p->given_away() || foreign)
    return plain(Harm::warning, cpu, p->start, "use after free: the page was given away");
  return std::nullopt;
}

Stepper::Outcomes Stepper::ways(unsigned cpu, const op::ReadOnce& o) const {
  Outcomes all;
  for (const Readable& r : readable(cpu, o.slot))
    all.push_back({r.value, static_cast<std::uint8_t>(all.size())});
  return all;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::ReadOnce& o, Outcome way) {
  if (auto v = access_word(cpu, o.slot, o.word)) return v;
  for (HardwareFlags& f : w_.flags)
    if (f.slot == o.slot) f.seen = f.seen | CpuSet::one(cpu);
  has_read(cpu, o.slot, readable(cpu, o.slot)[way.effect], o.order);
  // In a read section, the table that was found stays in use until the section ends.
  const Descriptor d{way.answer};
  if (o.word != Word::descriptor || !d.valid() || !in_section(cpu)) return std::nullopt;
  const Page* at = w_.page_at(o.slot);
  Page* target = w_.page_at(PhysAddr(d.bits & 0x0000'ffff'ffff'f000));
  if (at != nullptr && target != nullptr && target->usage.state == PageState::table)
    target->usage.walkers = target->usage.walkers | walker(cpu, w_.cpus[cpu].active != 0);
  return std::nullopt;
}

Stepper::Outcomes Stepper::ways(unsigned cpu, const op::AwaitWord& o) const {
  Outcomes all;
  const auto values = readable(cpu, o.pa);
  for (std::size_t i = 0; i < values.size(); ++i)
    if ((values[i].value & o.mask) == o.value) all.push_back({values[i].value, static_cast<std::uint8_t>(i)});
  return all;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::AwaitWord& o, Outcome way) {
  if (auto v = access_word(cpu, o.pa, Word::data)) return v;
  has_read(cpu, o.pa, readable(cpu, o.pa)[way.effect], Order::acquire);
  return std::nullopt;
}

// ---- plain stores -------------------------------------------------------------------------------------------

void Stepper::buffer_store(unsigned cpu, PhysAddr slot, std::uint64_t value, bool releases,
                           PhysAddr through) {
  bool saw = true;
  for (const HardwareFlags& f : w_.flags)
    if (f.slot == slot) saw = f.seen.contains(cpu);
  const Page* p = w_.page_at(slot);
  buffer(cpu, {.releases = releases,
               .saw_flags = saw,
               .was = p != nullptr ? p->usage.tag() : std::uint8_t{0},
               .through = through,
               .slot = slot,
               .value = value});
  std::erase_if(cpu_at(cpu).early, [&](const Early& e) { return e.slot == slot; });
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::WriteOnce& o, Outcome) {
  if (auto v = access_word(cpu, o.slot, o.word)) return v;
  buffer_store(cpu, o.slot, o.value.bits, releases(o.order));
  return std::nullopt;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::ClearPage& o, Outcome) {
  auto words = w_.memory.words_in(o.page);
  for (const Buffered& s : w_.cpus[cpu].buffer)
    if (s.kind == Buffered::Kind::store && page_of(s.slot) == o.page) words.push_back(s.slot);
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  for (PhysAddr slot : words)
    if (!w_.read(cpu, slot).none()) buffer_store(cpu, slot, 0, false);
  return std::nullopt;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::DataStore& o, Outcome) {
  if (auto v = access_word(cpu, o.pa, Word::data)) return v;
  w_.page_at(o.pa)->usage.carries_data = true;
  buffer_store(cpu, o.pa, o.value, false);
  return std::nullopt;
}

// ---- atomics ------------------------------------------------------------------------------------------------

// An atomic reads the newest value there is, behind this CPU's own earlier stores to the word; a release waits for all.
// One that fails is a read.
Stepper::Outcomes Stepper::ways(unsigned cpu, const op::Cmpxchg& o) const {
  if (has_own_store(w_, cpu, o.slot)) return {};
  Outcomes all;
  const auto values = readable(cpu, o.slot);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool succeeds = values[i].value == o.expected.bits;
    if (succeeds && (values[i].early != Readable::memory || (releases(o.order) && !all_visible(cpu))))
      continue;
    all.push_back({values[i].value, static_cast<std::uint8_t>(i)});
  }
  return all;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::Cmpxchg& o, Outcome way) {
  if (auto v = access_word(cpu, o.slot, o.word)) return v;
  has_read(cpu, o.slot, readable(cpu, o.slot)[way.effect], o.order);
  if (way.answer != o.expected.bits) return std::nullopt;
  return atomic_store(cpu, o.slot, o.desired);
}

Stepper::Outcomes Stepper::ways(unsigned cpu, const op::FetchUpdate& o) const {
  const bool waits = has_own_store(w_, cpu, o.slot) || (releases(o.order) && !all_visible(cpu));
  return waits ? Outcomes{} : Outcomes{{w_.memory.read(o.slot).bits}};
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::FetchUpdate& o, Outcome way) {
  if (auto v = access_word(cpu, o.slot, o.word)) return v;
  has_read(cpu, o.slot, {way.answer, Readable::memory}, o.order);
  return atomic_store(cpu, o.slot, op::updated(o.update, Descriptor{way.answer}, o.operand));
}

// It has seen what hardware set; what it leaves of that is its decision.
Stepper::Verdict Stepper::atomic_store(unsigned cpu, PhysAddr slot, Descriptor now) {
  std::erase_if(w_.flags, [&](const HardwareFlags& f) { return f.slot == slot; });
  return store_visible(cpu, slot, now, nullptr);
}

// ---- barriers of memory -------------------------------------------------------------------------------------

// A barrier waits until what it orders has happened; a store barrier orders what is still to become visible.
Stepper::Outcomes Stepper::ways(unsigned cpu, const op::Dmb& o) const {
  return o.kind == machine::Dmb::ish && !all_visible(cpu) ? Outcomes{} : Outcomes{{}};
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::Dmb& o, Outcome) {
  if (o.kind != machine::Dmb::ishst) order_reads(cpu);
  const auto& pending = w_.cpus[cpu].buffer;
  if (o.kind == machine::Dmb::ishst && !pending.empty() && pending.back().kind != Buffered::Kind::fence)
    buffer(cpu, {.kind = Buffered::Kind::fence});
  return std::nullopt;
}

// ---- what becomes visible -----------------------------------------------------------------------------------

std::vector<unsigned> Stepper::drainable(unsigned cpu) const {
  const auto& buffer = w_.cpus[cpu].buffer;
  std::vector<unsigned> all;
  for (unsigned i = 0; i < buffer.size(); ++i) {
    const Buffered& b = buffer[i];
    if (b.kind == Buffered::Kind::fence) break;
    const bool ordered = b.releases || b.kind != Buffered::Kind::store;
    const bool older = std::any_of(buffer.begin(), buffer.begin() + i, [&](const Buffered& s) {
      return ordered || (s.kind == Buffered::Kind::store && s.slot == b.slot);
    });
    if (!older) all.push_back(i);
  }
  return all;
}

Stepper::Verdict Stepper::drain(unsigned cpu, unsigned index) {
  auto& buffer = cpu_at(cpu).buffer;
  const Buffered b = buffer[index];
  buffer.erase(buffer.begin() + index);
  while (!buffer.empty() && buffer.front().kind == Buffered::Kind::fence) buffer.erase(buffer.begin());
  if (event_ != nullptr) event_->drained = b;
  switch (b.kind) {
    case Buffered::Kind::store: {
      auto lost = lost_flags(cpu, b.slot, w_.memory.read(b.slot), Descriptor{b.value}, b.saw_flags);
      auto v = store_visible(cpu, b.slot, Descriptor{b.value}, &b);
      const Page* p = w_.page_at(b.slot);
      const bool foreign = p != nullptr && p->usage.tag() != b.was;
      if (!foreign) return v ? v : lost;
      const bool table = (b.was & 0xf) == static_cast<unsigned>(PageState::table);
      return table ? plain(Harm::walker_table, cpu, p->start)
                   : plain(Harm::warning, cpu, p->start, "a store lands in a page that was given away");
    }
    case Buffered::Kind::drop_lock: w_.locks[b.number].exclusive = 0; return std::nullopt;
    case Buffered::Kind::drop_lock_shared: {
      LockState& l = w_.locks[b.number];
      l.shared = static_cast<std::uint8_t>(l.shared & ~(1u << cpu));
      return std::nullopt;
    }
    case Buffered::Kind::free: return release(cpu, {b.slot, PhysAddr(b.value)}, PageState::released);
    case Buffered::Kind::end_section: section_ends(cpu, b.number); return std::nullopt;
    case Buffered::Kind::call:
      begin_grace();
      w_.callbacks.push_back({b.value, static_cast<std::uint8_t>(cpu), in_sections()});
      return std::nullopt;
    case Buffered::Kind::fence: break;
  }
  return std::nullopt;
}

Stepper::Verdict Stepper::store_visible(unsigned cpu, PhysAddr slot, Descriptor now, const Buffered* by) {
  const auto& r = regime();
  const PhysAddr page = page_of(slot);
  const Descriptor before = w_.memory.read(slot);
  const auto links = links_of(page);
  w_.memory.write(slot, now);
  if (before != now) remember_early(cpu, slot, before.bits, now);
  note_unsynchronised(cpu, slot, before, now, by);
  if (event_ != nullptr) event_->stores.push_back({slot, before, now});
  if (!w_.shadow.empty()) w_.shadow.store_unlinked(w_.memory, slot, now);
  Verdict violation;
  if (links.empty() && !w_.shadow.empty() && before != now)
    if (auto apart = check_still_equal(w_.shadow, w_.memory, slot)) violation = Violation{*apart, cpu};
  // As walkers see them: a store to either that is under way is judged when it becomes visible.
  auto same_contents = [&](PhysAddr a, PhysAddr b, std::uint64_t bytes) {
    return a == b || w_.memory.same(a, b, bytes);
  };
  for (const Link& link : links) {
    const TableAt& t = link.table;
    const shadow::Place place{t.level, t.va + (slot - page) / sizeof(Descriptor) * r.span(t.level),
                              link.context};
    w_.shadow.store_linked(w_.memory, place, slot, before, now);
    if (by != nullptr && by->own != 0) w_.shadow.own_store_visible(place, slot, before, cpu, by->own);
    auto found = check_exposed(w_.shadow, w_.memory, place, slot, now, setup_.features.bbm, same_contents);
    if (!found) found = exposed_garbage(place, slot, now);
    if (found && !violation) violation = Violation{*found, cpu};
    // A table that walkers are inside of gets another place: they go on where it no longer belongs (rule 22).
    if (!now.is_table(t.level) || violation) continue;
    const Page* target = w_.page_at(vmsa::output_address(r, t.level, now));
    if (target != nullptr && !target->usage.walkers.empty() && before != now)
      violation = plain(Harm::walker_table, cpu, target->start);
  }
  return violation;
}

/// A plain store over what hardware has set, and its writer did not know: dirty is lost whatever is stored; the access
/// flag where the descriptor stays valid (rule 21).
Stepper::Verdict Stepper::lost_flags(unsigned cpu, PhysAddr slot, Descriptor before, Descriptor now,
                                     bool saw) {
  const auto f = std::ranges::find(w_.flags, slot, &HardwareFlags::slot);
  if (f == w_.flags.end()) return std::nullopt;
  const bool dirty = f->dirty && (now.has(Descriptor::read_only_bit) || !now.valid());
  const bool old = now.valid() && !now.accessed();
  w_.flags.erase(f);
  if (saw || !(dirty || old) || before == now) return std::nullopt;
  Violation v = plain(Harm::lost_update, cpu, slot);
  v.finding.entry.slot = slot;
  v.finding.entry.value = before;
  v.finding.now = now;
  return v;
}

/// Invalid has become valid: whoever stored it may have seen the fault ahead, and must forget it by a DSB and an ISB.
void Stepper::note_unsynchronised(unsigned cpu, PhysAddr slot, Descriptor before, Descriptor now,
                                  const Buffered* by) {
  const Page* page = w_.page_at(slot);
  if (page == nullptr || page->usage.state != PageState::table) return;
  for (Cpu& c : w_.cpus)
    std::erase_if(c.unsynchronised, [&](const Unsynchronised& u) { return u.slot == slot; });
  auto& own = cpu_at(cpu).unsynchronised;
  const std::uint8_t view = by != nullptr ? by->own : std::uint8_t{0};
  if (before.valid() || !now.valid() || (view & own_usable) != 0) return;
  own.insert(std::ranges::lower_bound(own, slot, {}, &Unsynchronised::slot), {slot, (view & own_seen) != 0});
}

/// What has just become reachable must lead to pages that somebody owns, and tables to tables. It does not when
/// a table was linked before its zeroing is visible: walkers take what its last owner left for descriptors.
std::optional<Finding> Stepper::exposed_garbage(const shadow::Place& place, PhysAddr slot,
                                                Descriptor now) const {
  const auto& r = regime();
  std::optional<Finding> found;
  auto look = [&](const shadow::Place& p, PhysAddr at, Descriptor word) {
    const Descriptor d = shadow::as_cached(r, p.level, word, setup_.features.hardware_access_flag);
    if (found || !shadow::cacheable(r, p.level, d)) return;
    const bool table = d.is_table(p.level);
    const Page* target = w_.page_at(vmsa::output_address(r, p.level, d));
    if (target != nullptr && !target->given_away() && (!table || target->usage.state == PageState::table))
      return;
    Finding f;
    f.harm = table ? Harm::stale_table : Harm::stale_page;
    f.holders = w_.shadow.spaces()[p.context.space].may_hold;
    f.entry = shadow::Entry{{p, at, d}, f.holders, {}, {}, {}};
    f.va = p.va;
    f.now = d;
    f.page = target != nullptr ? target->start : vmsa::output_address(r, p.level, d);
    found = f;
  };
  // A contiguous leaf answers for its whole group, invalid members included (R_LQLSD).
  auto with_group = [&](const shadow::Place& p, PhysAddr at, Descriptor d) {
    look(p, at, d);
    shadow::for_each_group_member(
        r, {p, at, d}, [&](const shadow::Held& other) { look(other.place, other.slot, other.value); });
  };
  with_group(place, slot, now);
  if (now.is_table(place.level))
    shadow::for_each_below(r, w_.memory, shadow::table_of(r, place, now), place.context, with_group);
  return found;
}

std::vector<Stepper::Link> Stepper::links_of(PhysAddr page) const {
  const auto& r = regime();
  std::vector<Link> links;
  for (std::uint8_t space = 0; space < w_.shadow.spaces().size(); ++space) {
    const TableAt top = w_.shadow.top(space);
    const shadow::Context context = w_.shadow.context(space);
    if (page == top.page) links.push_back({top, context});
    shadow::for_each_below(r, w_.memory, top, context, [&](const shadow::Place& p, PhysAddr, Descriptor d) {
      if (!d.is_table(p.level)) return;
      const TableAt t = shadow::table_of(r, p, d);
      if (t.page == page) links.push_back({t, context});
    });
  }
  return links;
}

}  // namespace shootdown::model
