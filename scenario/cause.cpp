// SPDX-License-Identifier: MIT
#include "scenario/cause.hpp"

#include <algorithm>
#include <set>
#include <string_view>

namespace shootdown::scenario {
namespace {

using model::Event;
namespace op = model::op;
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
    if (const auto* o = event.operation<op::Tlbi>()) see_tlbi(o->tlbi, event);
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

bool same_name(const char* a, const char* b) { return std::string_view(a) == b; }

/// The functions that are open at both sites, outermost first.
std::size_t common_functions(const model::Site& a, const model::Site& b, std::size_t at_most) {
  const std::size_t n = std::min({a.functions.size(), b.functions.size(), at_most});
  const auto end = a.functions.begin() + static_cast<std::ptrdiff_t>(n);
  return static_cast<std::size_t>(
      std::mismatch(a.functions.begin(), end, b.functions.begin(), same_name).first - a.functions.begin());
}

/// Does a function that is open when the entry's page is released go on to flush the entry itself? Then the flush
/// was meant, and comes too late. One that covers the entry by chance, for the sake of another, was not.
bool flushed_later(System& system, System::State s, unsigned cpu, const model::Site& release,
                   const Entry& entry) {
  constexpr auto judge = model::Judge::hardware_update;
  std::size_t open = release.functions.size();
  for (System::Steps next; system.cpu_steps(s.env, cpu, s.locals[cpu], judge, next), !next.empty();
       next.clear()) {
    for (const Event& e : system.explain_cpu_step(s.env, cpu, s.locals[cpu], judge, 0)) {
      open = common_functions(release, e.site, open);
      const bool covers = std::any_of(e.invalidated.begin(), e.invalidated.end(), [&](const auto& i) {
        return i.first.same_value(entry) && i.second == Outcome::doomed;
      });
      if (covers) return e.site.functions.size() == open + 1;
    }
    s.env = next.front().env;
    s.locals[cpu] = next.front().local;
  }
  return false;
}

/// Was the page freed on the path? One that a software walker meets and that never was a table was reached by words
/// that its last owner left.
bool was_freed(const vmsa::Regime& r, const std::vector<explore::TimelineStep>& timeline,
               vmsa::PhysAddr page) {
  for (const explore::TimelineStep& step : timeline)
    for (const Event& e : step.events) {
      const auto* o = e.operation<op::FreePages>();
      if (o != nullptr && vmsa::PhysRange{o->page, o->page + (r.page_size() << o->order)}.contains(page))
        return true;
    }
  return false;
}

/// An access by the CPU that made the mapping: it did not wait until its store was visible, or did not synchronise.
Cause explain_fault(System& system, const model::Violation& violation,
                    const std::vector<explore::TimelineStep>& timeline) {
  const System::State before = timeline.size() < 2 ? system.initial() : timeline[timeline.size() - 2].after;
  const unsigned cpu = violation.cpu;
  const vmsa::PhysAddr slot =
      system.world(before.env).unpublished_slot(cpu, system.setup().root, violation.finding.va);
  if (slot == vmsa::PhysAddr{}) return Cause::none;
  bool waited = false;
  for (const explore::TimelineStep& step : timeline)
    for (const Event& e : step.events) {
      if (e.cpu != cpu) continue;
      if (const auto* o = e.operation<op::WriteOnce>(); o != nullptr && o->slot == slot) waited = false;
      if (const auto* o = e.operation<op::Dsb>())
        waited |= o->kind == machine::Dsb::ish || o->kind == machine::Dsb::ishst;
    }
  return waited ? Cause::no_isb : Cause::no_dsb;
}

}  // namespace

Cause explain(System& system, const model::Violation& violation,
              const std::vector<explore::TimelineStep>& timeline) {
  const shadow::Finding& f = violation.finding;
  if (f.harm == Harm::walker_table)
    return was_freed(system.setup().world.shadow.regime(), timeline, f.page) ? Cause::no_grace_period
                                                                             : Cause::none;
  if (f.harm == Harm::unexpected_fault && !timeline.empty())
    return explain_fault(system, violation, timeline);
  const bool by_entry =
      f.harm == Harm::stale_page || f.harm == Harm::stale_table || f.harm == Harm::break_before_make;
  if (!by_entry || timeline.empty()) return Cause::none;
  if (violation.hardware)
    return Cause::freed_early;  // the page was put to use while walks could still reach it

  // What was exposed is no old entry but the current tables: a page's last words, before its zeros are visible.
  if (f.by_leftovers()) {
    const model::World& world = system.world(timeline.back().after.env);
    const bool zeroed = std::any_of(world.buffers.begin(), world.buffers.end(), [&](const auto& buffer) {
      return std::ranges::find(buffer, f.entry.slot, &model::BufferedStore::slot) != buffer.end();
    });
    return zeroed ? Cause::no_dsb : Cause::none;
  }

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
  const explore::TimelineStep& last = timeline.back();
  const bool released = f.harm != Harm::break_before_make && !last.events.empty();
  if (released && flushed_later(system, last.after, violation.cpu, last.events.back().site, f.entry))
    return Cause::freed_early;
  return Cause::no_tlbi;
}

}  // namespace shootdown::scenario
