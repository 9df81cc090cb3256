// SPDX-License-Identifier: MIT
#include "scenario/cause.hpp"

#include <algorithm>
#include <set>

namespace shootdown::scenario {
namespace {

using model::Event;
using model::OpKind;
using model::System;
using shadow::Cause;
using shadow::Entry;
using shadow::Harm;
using shadow::Outcome;

/// What the invalidations on the path did to one stale entry, since it last went stale.
class EntryHistory {
 public:
  explicit EntryHistory(const vmsa::Regime& r, const Entry& e) : r_(r), entry_(e) {}

  void see(const Event& event) {
    if (event.kind == Event::Kind::operation && event.op.kind == OpKind::tlbi) see_tlbi(event.op.tlbi, event);
    for (const Event::Visible& s : event.stores)
      if (s.slot == entry_.slot && s.before == entry_.value && s.after != entry_.value) stale_again();
  }

  bool had(Outcome o) const { return outcomes_.contains(o); }
  bool covered_too_early() const { return covered_while_current_; }
  bool ended_beside() const { return ended_beside_; }

 private:
  void see_tlbi(const vmsa::Tlbi& t, const Event& event) {
    bool stale = false;
    for (const auto& [e, outcome] : event.invalidated) {
      if (!e.same_value(entry_)) continue;
      outcomes_.insert(outcome);
      stale = true;
    }
    const bool covers = t.op.by_va() && vmsa::tlbi_miss(r_, t, entry_.cached()) == vmsa::Miss::none;
    if (!stale && covers) covered_while_current_ = true;
    if (!t.op.range) return;
    const auto range = vmsa::tlbi_range(r_, t);
    ended_beside_ |=
        range.end == entry_.place.va || entry_.place.va + r_.span(entry_.place.level) == range.start;
  }
  void stale_again() {
    outcomes_.clear();
    ended_beside_ = false;
  }

  const vmsa::Regime& r_;
  const Entry& entry_;
  std::set<Outcome> outcomes_;
  bool covered_while_current_ = false;
  bool ended_beside_ = false;
};

/// Lets the CPUs run on, one after the other, the guilty one first, and every store drain; what is still wrong
/// then would have stayed wrong. Harms on the way are ignored.
System::State run_on(System& system, System::State s, unsigned first) {
  constexpr auto judge = model::Judge::hardware_update;
  bool moved = true;
  for (unsigned steps = 0; moved && steps < 100'000;) {
    moved = false;
    for (unsigned i = 0; i < system.cpu_count(); ++i) {
      const unsigned cpu = (first + i) % system.cpu_count();
      System::Steps next;
      while (system.cpu_steps(s.env, cpu, s.locals[cpu], judge, next), !next.empty()) {
        const bool takes_over = system.procedure(cpu).pending(s.locals[cpu]).kind == OpKind::take_released;
        if (takes_over) break;
        s.env = next.front().env;
        s.locals[cpu] = next.front().local;
        next.clear();
        moved = true;
        ++steps;
      }
    }
  }
  for (System::Steps drains; system.env_steps(s.env, judge, drains), !drains.empty(); drains.clear()) {
    s.env = drains.front().env;
    if (drains.size() > 64) break;
  }
  return s;
}

/// Once everybody has gone on, can no released page be reached any more? Then the flush did come, only later.
bool is_mended_later(System& system, const System::State& at, unsigned cpu) {
  const System::State end = run_on(system, at, cpu);
  const model::World w = system.world(end.env);
  const unsigned page_shift = w.shadow.regime().page_shift;
  return std::none_of(w.pages.begin(), w.pages.end(), [&](const model::Page& p) {
    return p.state == model::PageState::released &&
           check_release(w.shadow, w.memory, system.setup().root, p.range(page_shift));
  });
}

}  // namespace

Cause explain(System& system, const model::Violation& violation,
              const std::vector<explore::TimelineStep>& timeline) {
  const shadow::Finding& f = violation.finding;
  if (f.harm == Harm::walker_table) return Cause::no_grace_period;
  const bool by_entry =
      f.harm == Harm::stale_page || f.harm == Harm::stale_table || f.harm == Harm::break_before_make;
  if (!by_entry || timeline.empty()) return Cause::none;
  if (violation.hardware)
    return Cause::freed_early;  // the page was put to use while walks could still reach it

  // An invalidation is under way: what is missing is its completion.
  if (!f.entry.unsynchronised.empty() && f.entry.unsynchronised == f.entry.holders) return Cause::no_isb;
  shadow::CpuSet doomed = f.entry.unsynchronised;
  for (const shadow::Doom& d : f.entry.dooms) doomed = doomed | d.cpus;
  if (!f.entry.dooms.empty() && (f.entry.holders - doomed).empty()) return Cause::no_dsb;

  EntryHistory history(system.setup().world.shadow.regime(), f.entry);
  for (const explore::TimelineStep& step : timeline)
    for (const Event& event : step.events) history.see(event);
  if (history.had(Outcome::contiguous)) return Cause::contiguous;
  if (history.had(Outcome::last_level)) return Cause::last_level;
  if (history.had(Outcome::asid)) return Cause::asid;
  if (history.had(Outcome::scope)) return Cause::scope;
  if (history.had(Outcome::level_hint) || history.had(Outcome::granule)) return Cause::coverage;
  if (history.covered_too_early()) return Cause::tlbi_before_clear;
  if (history.ended_beside()) return Cause::coverage;
  const bool released = f.harm != Harm::break_before_make;
  if (released && is_mended_later(system, timeline.back().after, violation.cpu)) return Cause::freed_early;
  return Cause::no_tlbi;
}

}  // namespace shootdown::scenario
