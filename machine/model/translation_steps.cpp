// SPDX-License-Identifier: MIT
// Translated accesses, TLBI and its barriers, TTBR0, and what hardware does to descriptors by itself.
#include <algorithm>

#include "machine/model/stepper.hpp"

namespace shootdown::model {

using machine::Dsb;
using shadow::CpuSet;
using shadow::Finding;
using shadow::Harm;
using shadow::TableAt;
using vmsa::AccessKind;
using vmsa::Fault;
using vmsa::Right;

namespace {

/// Memory as one CPU's own walker may see it: with its stores that a DSB has followed, the youngest of them aside as
/// long as what they replaced may still be held.
class OwnMemory final : public shadow::TableMemory {
 public:
  OwnMemory(const Memory& memory, const Cpu& cpu) : memory_(memory), cpu_(cpu) {
    for (std::size_t i = 0; i < cpu.buffer.size(); ++i)
      if (is_seen(cpu.buffer[i]) && !is_final(i)) replaceable_.push_back(i);
  }

  /// Goes back behind one more of them; false when there is none.
  bool hide_one() {
    if (replaceable_.empty()) return false;
    hidden_.push_back(replaceable_.back());
    replaceable_.pop_back();
    return true;
  }
  Descriptor read(PhysAddr slot) const override { return before(cpu_.buffer.size(), slot); }
  void for_each_valid(PhysAddr page, unsigned count,
                      shadow::FunctionRef<void(unsigned, Descriptor)> fn) const override {
    for (unsigned i = 0; i < count; ++i)
      if (const Descriptor d = read(page + i * sizeof(Descriptor)); d.valid()) fn(i, d);
  }

 private:
  static bool is_seen(const Buffered& b) {
    return b.kind == Buffered::Kind::store && (b.own & own_seen) != 0;
  }
  /// Of what it replaced nothing is left here: it was invalid, or is invalidated.
  bool is_final(std::size_t i) const {
    const Buffered& b = cpu_.buffer[i];
    return (b.own & own_gone) != 0 || ((b.own & own_usable) != 0 && !before(i, b.slot).valid());
  }
  Descriptor before(std::size_t end, PhysAddr slot) const {
    for (std::size_t i = end; i-- > 0;) {
      const Buffered& b = cpu_.buffer[i];
      if (is_seen(b) && b.slot == slot && std::ranges::find(hidden_, i) == hidden_.end())
        return Descriptor{b.value};
    }
    return memory_.read(slot);
  }

  const Memory& memory_;
  const Cpu& cpu_;
  std::vector<std::size_t> replaceable_;  ///< positions, the oldest first
  std::vector<std::size_t> hidden_;
};

}  // namespace

// ---- accesses -----------------------------------------------------------------------------------------------

PhysAddr Stepper::unpublished_slot(unsigned cpu, VirtAddr va) const {
  const Cpu& c = w_.cpus[cpu];
  if (c.unsynchronised.empty() && c.buffer.empty()) return {};
  const auto& r = regime();
  for (std::uint8_t space = 0; space < w_.shadow.spaces().size(); ++space) {
    const bool kernel = vmsa::is_kernel_half(va);
    if (kernel ? space != 0 : space == 0 || !w_.shadow.spaces()[space].running.contains(cpu)) continue;
    PhysAddr table = w_.shadow.spaces()[space].root;
    for (vmsa::Level level = r.root_level();; level = level.next()) {
      const PhysAddr slot = vmsa::slot_address(r, table, level, va);
      const Descriptor d = w_.read(cpu, slot);
      if (!d.valid()) break;
      const Buffered* own = w_.own_store(cpu, slot);
      if (own != nullptr && (own->own & own_usable) == 0) return slot;
      if (std::ranges::binary_search(c.unsynchronised, slot, {}, &Unsynchronised::slot)) return slot;
      if (!d.is_table(level)) break;
      table = vmsa::output_address(r, level, d);
    }
  }
  return {};
}

/// Every way that an access may go: by each translation that its CPU may use, and, for a read, each value that may be
/// returned there.
std::vector<Stepper::Way> Stepper::translations(unsigned cpu, VirtAddr va, AccessKind kind) const {
  std::vector<Way> all;
  auto add = [&](std::uint64_t answer, const shadow::Reach& reach, const Readable& value) {
    // Ways of one answer that change nothing are one.
    auto marks = [](const shadow::Reach& x) { return !x.stale && !x.walk.leaf.accessed(); };
    const bool same = std::ranges::any_of(all, [&](const Way& w) {
      const bool reads_alike =
          kind.right != Right::write && value.early < 0 && !marks(reach) && !marks(w.reach);
      return w.outcome.answer == answer && (is_fault(answer) || reads_alike);
    });
    if (!same) all.push_back({{answer, static_cast<std::uint8_t>(all.size())}, reach, value});
  };
  auto fault = [&](Fault f, const shadow::Reach& reach) { add(fault_word(f, reach.walk.level), reach, {}); };
  auto go = [&](const shadow::Reach& reach) {
    const shadow::Walk& w = reach.walk;
    const bool clean = vmsa::is_writable_clean(w.leaf);
    const bool permitted = vmsa::permits(w.leaf, kind) &&
                           (kind.right != Right::write || !clean || setup_.features.hardware_dirty);
    if (w.fault != Fault::none) return fault(w.fault, reach);
    if (!permitted) return fault(Fault::permission, reach);
    if (kind.right != Right::read) return add(0, reach, {});
    for (const Readable& value : readable(cpu, w.pa.align_down(8))) add(value.value, reach, value);
  };
  OwnMemory own(w_.memory, w_.cpus[cpu]);
  std::vector<shadow::Reach> reaches = reach(w_.shadow, own, cpu, va);
  while (own.hide_one())
    for (const shadow::Reach& x : reach(w_.shadow, own, cpu, va)) reaches.push_back(x);
  const shadow::Reach current = reaches.front();
  for (const shadow::Reach& x : reaches) {
    // A write through a writable-clean entry asks the tables again and goes by what they say (R_SGJBL, I_YZSVV).
    const bool asks = x.stale && x.walk.fault == Fault::none && kind.right == Right::write &&
                      vmsa::is_writable_clean(x.walk.leaf) && setup_.features.hardware_dirty;
    go(asks ? current : x);
  }
  if (const PhysAddr slot = unpublished_slot(cpu, va); slot != PhysAddr{})
    fault(Fault::translation,
          {{.fault = Fault::translation, .level = current.walk.level, .slot = slot}, false});
  return all;
}

Stepper::Outcomes Stepper::access_ways(unsigned cpu, VirtAddr va, AccessKind kind) const {
  Outcomes all;
  for (const Way& w : translations(cpu, va, kind)) all.push_back(w.outcome);
  return all;
}

Stepper::Verdict Stepper::access(unsigned cpu, VirtAddr va, AccessKind kind, Outcome way,
                                 std::uint64_t value) {
  if (is_fault(way.answer)) return std::nullopt;
  const Way w = translations(cpu, va, kind)[way.effect];
  const shadow::Walk& t = w.reach.walk;
  Verdict v;
  // Linux gives user pages away at the DSB: until its next context synchronisation the issuer must not use them (rule 6).
  const Page* page = w_.page_at(t.pa);
  const bool by_design = !w.reach.stale && setup_.mapped_by_design && setup_.mapped_by_design(va);
  if (page != nullptr && !by_design &&
      (page->given_away() || (page->usage.state == PageState::reused && page->usage.owner != cpu))) {
    Finding f;
    f.harm = Harm::stale_page;
    f.holders = CpuSet::one(cpu);
    f.entry = {{{t.level, va.align_down(regime().span(t.level))}, t.slot, t.leaf}, f.holders, {}, {}, {}};
    f.va = va;
    f.page = page->start;
    v = Violation{f, cpu};
  }
  const bool dirties = kind.right == Right::write && vmsa::is_writable_clean(t.leaf);
  if (!w.reach.stale && (!t.leaf.accessed() || dirties))
    if (auto set = set_flag({t.slot, std::nullopt, CpuSet::one(cpu)}, Descriptor::accessed_bit,
                            dirties ? Descriptor::read_only_bit : 0);
        set && !v)
      v = set;
  if (kind.right == Right::write) buffer_store(cpu, t.pa.align_down(8), value, false, t.slot);
  if (kind.right == Right::read) has_read(cpu, t.pa.align_down(8), w.value, machine::Order::relaxed);
  return v;
}

Stepper::Outcomes Stepper::ways(unsigned cpu, const op::Load& o) const {
  return access_ways(cpu, o.va, {Right::read, o.user});
}
Stepper::Outcomes Stepper::ways(unsigned cpu, const op::Store& o) const {
  return access_ways(cpu, o.va, {Right::write, o.user});
}
Stepper::Outcomes Stepper::ways(unsigned cpu, const op::Fetch& o) const {
  return access_ways(cpu, o.va, {Right::execute, o.user});
}
Stepper::Verdict Stepper::act(unsigned cpu, const op::Load& o, Outcome way) {
  return access(cpu, o.va, {Right::read, o.user}, way, 0);
}
Stepper::Verdict Stepper::act(unsigned cpu, const op::Store& o, Outcome way) {
  return access(cpu, o.va, {Right::write, o.user}, way, o.value);
}
Stepper::Verdict Stepper::act(unsigned cpu, const op::Fetch& o, Outcome way) {
  return access(cpu, o.va, {Right::execute, o.user}, way, 0);
}

// ---- what hardware does by itself ---------------------------------------------------------------------------

std::vector<Stepper::FlagUpdate> Stepper::flag_updates() const {
  std::vector<FlagUpdate> all;
  if (!setup_.features.hardware_access_flag) return all;
  const auto& r = regime();
  auto note = [&](PhysAddr slot, vmsa::Level level, Descriptor d, CpuSet walkers,
                  const shadow::Entry* through) {
    const bool flagged =
        shadow::is_leaf(r, level, d) || (setup_.features.hardware_table_flag && d.is_table(level));
    if (!flagged || d.accessed() || walkers.empty()) return;
    if (std::ranges::any_of(all, [&](const FlagUpdate& u) { return u.slot == slot; })) return;
    all.push_back({slot, through != nullptr ? std::optional(*through) : std::nullopt, walkers});
  };
  w_.shadow.for_each_stale_table(
      w_.memory, [&](const TableAt& t, CpuSet holders, const shadow::Entry& through) {
        if (t.level > vmsa::page_level) return;
        w_.memory.for_each_valid(t.page, r.entry_count(t.level), [&](unsigned i, Descriptor d) {
          note(t.page + i * sizeof(Descriptor), t.level, d, holders, &through);
        });
      });
  for (std::uint8_t space = 0; space < w_.shadow.spaces().size(); ++space)
    shadow::for_each_below(r, w_.memory, w_.shadow.top(space), w_.shadow.context(space),
                           [&](const shadow::Place& p, PhysAddr slot, Descriptor d) {
                             note(slot, p.level, d, w_.shadow.spaces()[space].running, nullptr);
                           });
  return all;
}

/// Hardware changes a descriptor, and nobody has been told.
Stepper::Verdict Stepper::set_flag(const FlagUpdate& u, std::uint64_t set, std::uint64_t clear) {
  const Descriptor now{(w_.memory.read(u.slot).bits | set) & ~clear};
  auto f = std::ranges::lower_bound(w_.flags, u.slot, {}, &HardwareFlags::slot);
  if (f == w_.flags.end() || f->slot != u.slot) f = w_.flags.insert(f, {u.slot});
  f->dirty |= clear != 0;
  f->seen = {};
  return store_visible(u.walkers.lowest(), u.slot, now, nullptr);
}

Stepper::Verdict Stepper::update_flag(const FlagUpdate& u) {
  const Page* page = w_.page_at(u.slot);
  const bool foreign =
      page != nullptr && (page->usage.carries_data || page->usage.state == PageState::reused);
  if (!u.through) return set_flag(u, Descriptor::accessed_bit, 0);
  const Descriptor now{w_.memory.read(u.slot).bits | Descriptor::accessed_bit};
  auto v = store_visible(u.walkers.lowest(), u.slot, now, nullptr);
  if (!foreign) return v;
  Finding f;
  f.harm = Harm::stale_table;
  f.holders = u.walkers;
  f.entry = *u.through;
  f.va = u.through->place.va;
  f.page = page->start;
  return Violation{f, u.walkers.lowest(), nullptr, true};
}

// ---- TLBI and barriers --------------------------------------------------------------------------------------

Stepper::Verdict Stepper::act(unsigned cpu, const op::Tlbi& o, Outcome) {
  const auto& r = regime();
  const auto report = [&](const shadow::Entry& e, shadow::Outcome outcome) {
    event_->invalidated.emplace_back(e, outcome);
  };
  w_.shadow.tlbi(w_.memory, cpu, o.tlbi, event_ == nullptr ? shadow::Shadow::Report{} : report);
  if (o.tlbi.op.broadcast) return std::nullopt;
  // Old values that nobody else has lost yet, but this CPU's walker sees replaced.
  for (Buffered& b : cpu_at(cpu).buffer) {
    if (b.kind != Buffered::Kind::store || (b.own & own_seen) == 0) continue;
    const Descriptor old = w_.memory.read(b.slot);
    const PhysAddr page = page_of(b.slot);
    const auto links = links_of(page);
    const bool covered = std::ranges::all_of(links, [&](const Link& link) {
      const TableAt& t = link.table;
      const shadow::Place place{t.level, t.va + (b.slot - page) / sizeof(Descriptor) * r.span(t.level),
                                link.context};
      const shadow::Held held{place, b.slot, old};
      return !held.is_table() && !old.contiguous() && outcome_of(r, o.tlbi, held) == shadow::Outcome::doomed;
    });
    if (covered) b.own |= own_invalidated;
  }
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

// ISH and ISHST wait until this CPU's stores are visible to every walker; the NSH kinds concern its own alone.
Stepper::Outcomes Stepper::ways(unsigned cpu, const op::Dsb& o) const {
  const bool wide = o.kind == Dsb::ish || o.kind == Dsb::ishst;
  const bool waits = (wide && !all_visible(cpu)) || (o.kind == Dsb::ish && waits_for_stores(cpu));
  return waits ? Outcomes{} : Outcomes{{}};
}

/// Others' stores that were translated by what this CPU's TLBI removes: its DSB waits until they are visible (R_YNJCP),
/// with the erratum only that of the repetition.
bool Stepper::waits_for_stores(unsigned cpu) const {
  auto is_translated = [](const Buffered& b) {
    return b.kind == Buffered::Kind::store && b.through != PhysAddr{};
  };
  if (!std::ranges::any_of(w_.cpus,
                           [&](const Cpu& c) { return std::ranges::any_of(c.buffer, is_translated); }))
    return false;
  bool waits = false;
  w_.shadow.for_each([&](const shadow::Entry& e) {
    if (e.is_table() || waits) return;
    CpuSet cpus;
    if (!setup_.features.repeat_tlbi)
      for (const shadow::Doom& d : e.dooms)
        if (d.issuer == cpu) cpus = cpus | d.cpus;
    for (const shadow::Flight& f : e.flights)
      if (f.issuer == cpu && f.repeated) cpus = cpus | f.cpus;
    const PhysAddr start = vmsa::output_address(regime(), e.place.level, e.value);
    const PhysRange mapped{start, start + regime().span(e.place.level)};
    for (unsigned other = 0; other < w_.cpu_count(); ++other)
      if (cpus.contains(other) && other != cpu)
        waits |= std::ranges::any_of(w_.cpus[other].buffer, [&](const Buffered& b) {
          return is_translated(b) && b.through == e.slot && mapped.contains(b.slot);
        });
  });
  return waits;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::Dsb& o, Outcome) {
  Cpu& c = cpu_at(cpu);
  if (o.kind == Dsb::ish || o.kind == Dsb::ishst) order_reads(cpu);
  for (Buffered& b : c.buffer) {
    if (b.kind != Buffered::Kind::store) continue;
    if ((b.own & own_invalidated) != 0 && shadow::completes(o.kind, /*broadcast=*/false))
      b.own |= own_completed;
    b.own |= own_seen;
  }
  for (Unsynchronised& u : c.unsynchronised) u.ordered = true;
  recording_drops([&] { w_.shadow.dsb(cpu, o.kind); });
  return std::nullopt;
}

Stepper::Verdict Stepper::context_synchronisation(unsigned cpu) {
  Cpu& c = cpu_at(cpu);
  recording_drops([&] { w_.shadow.isb(cpu); });
  for (Buffered& b : c.buffer) {
    if ((b.own & own_seen) != 0) b.own |= own_usable;
    if ((b.own & own_completed) != 0) b.own |= own_gone;
  }
  if (event_ != nullptr)
    for (const Unsynchronised& u : c.unsynchronised)
      if (u.ordered) event_->synchronised.push_back(u.slot);
  std::erase_if(c.unsynchronised, [](const Unsynchronised& u) { return u.ordered; });
  return std::nullopt;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::Isb&, Outcome) { return context_synchronisation(cpu); }

// ---- address spaces -----------------------------------------------------------------------------------------

Stepper::Verdict Stepper::act(unsigned cpu, const op::WriteTtbr0& o, Outcome) {
  const std::uint8_t space = space_of(o.root, o.asid);
  std::optional<Finding> reused;
  if (space != 0) {
    reused = check_reuse(w_.shadow, w_.memory, cpu, space);
    w_.shadow.retire(space, false);
  }
  w_.shadow.install(cpu, space);
  return reused ? std::optional(Violation{*reused, cpu}) : std::nullopt;
}

Stepper::Verdict Stepper::act(unsigned, const op::RetireAsid& o, Outcome) {
  w_.shadow.retire(space_of(o.root, o.asid), true);
  return std::nullopt;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::Rely& o, Outcome) {
  auto found = check_relied(w_.shadow, w_.memory, space_of(o.root, o.asid), o.range, o.nobody);
  if (!found) return std::nullopt;
  if (o.flag) found->harm = Harm::lost_update;
  return Violation{*found, cpu};
}

}  // namespace shootdown::model
