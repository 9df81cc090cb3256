// SPDX-License-Identifier: MIT
#include "scenario/cause.hpp"

#include <algorithm>
#include <set>
#include <string_view>

#include "machine/model/stepper.hpp"
#include "scenario/solo.hpp"

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
  /// A TLBI by address that came after it and did nothing for anybody: its address was meant to be another.
  bool went_astray() const { return astray_; }

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
    astray_ |= is_stale_ && t.op.by_va() && event.invalidated.empty();
    if (!t.op.range) return;
    const auto range = vmsa::tlbi_range(r_, t);
    ended_beside_ |=
        range.end == entry_.place.va || entry_.place.va + r_.span(entry_.place.level) == range.start;
  }
  void stale_again() {
    outcomes_.clear();
    ended_beside_ = astray_ = false;
    is_stale_ = true;
  }

  const vmsa::Regime& r_;
  const Entry& entry_;
  std::set<Outcome> outcomes_;
  bool covered_while_current_ = false;
  bool ended_beside_ = false;
  bool astray_ = false;
  bool is_stale_ = false;
};

bool same_name(const char* a, const char* b) { return std::string_view(a) == b; }

/// The functions that are open at both sites, outermost first.
std::size_t common_functions(const model::Site& a, const model::Site& b, std::size_t at_most) {
  const std::size_t n = std::min({a.functions.size(), b.functions.size(), at_most});
  const auto end = a.functions.begin() + static_cast<std::ptrdiff_t>(n);
  return static_cast<std::size_t>(
      std::mismatch(a.functions.begin(), end, b.functions.begin(), same_name).first - a.functions.begin());
}

/// The operation that gave a page away, before the release became visible.
const Event* giving_away(const vmsa::Regime& r, const std::vector<explore::TimelineStep>& timeline,
                         vmsa::PhysAddr page) {
  const Event* last = nullptr;
  for (const explore::TimelineStep& step : timeline)
    for (const Event& e : step.events) {
      const auto* pages = e.operation<op::FreePages>();
      const auto* range = e.operation<op::ReleaseRange>();
      const auto* queued = e.operation<op::FreeAfterGrace>();
      auto holds = [&](vmsa::PhysAddr start, unsigned order) {
        return vmsa::PhysRange{start, start + (r.page_size() << order)}.contains(page);
      };
      const bool frees = (pages != nullptr && holds(pages->page, pages->order)) ||
                         (queued != nullptr && holds(queued->page, queued->order));
      if (frees || (range != nullptr && range->range.contains(page))) last = &e;
    }
  return last;
}

/// Does a function that is open when the entry's page is released go on to flush the entry itself? Then the flush
/// was meant, and comes too late. One that covers the entry by chance, for the sake of another, was not.
bool flushed_later(System& system, const System::State& s, unsigned cpu, const model::Site& release,
                   const Entry& entry) {
  std::size_t open = release.functions.size();
  bool meant = false;
  run_alone(system, s, cpu, model::Judge::hardware_update, [&](const Event& e) {
    if (e.kind != Event::Kind::operation) return true;
    open = common_functions(release, e.site, open);
    const bool covers = std::any_of(e.invalidated.begin(), e.invalidated.end(), [&](const auto& i) {
      return i.first.same_value(entry) && i.second == Outcome::doomed;
    });
    meant = covers && e.site.functions.size() == open + 1;
    return !covers;
  });
  return meant;
}

/// An access by the CPU that made the mapping: it did not wait until its store was visible, or did not synchronise.
Cause explain_fault(System& system, const model::Violation& violation,
                    const std::vector<explore::TimelineStep>& timeline) {
  const System::State before = timeline.size() < 2 ? system.initial() : timeline[timeline.size() - 2].after;
  const unsigned cpu = violation.cpu;
  model::World world = system.world(before.env);
  const vmsa::PhysAddr slot =
      model::Stepper(system.setup(), world).unpublished_slot(cpu, violation.finding.va);
  if (slot == vmsa::PhysAddr{}) return Cause::in_use;
  bool waited = false;
  for (const explore::TimelineStep& step : timeline)
    for (const Event& e : step.events) {
      if (e.cpu != cpu) continue;
      if (const auto* o = e.operation<op::WriteOnce>(); o != nullptr && o->slot == slot) waited = false;
      waited |= e.operation<op::Dsb>() != nullptr;
    }
  return waited ? Cause::no_isb : Cause::no_dsb;
}

}  // namespace

Cause explain(System& system, const model::Violation& violation,
              const std::vector<explore::TimelineStep>& timeline) {
  const shadow::Finding& f = violation.finding;
  const vmsa::Regime& r = system.setup().world.shadow.regime();
  const Event* given = giving_away(r, timeline, f.page);
  if (f.harm == Harm::walker_table) {
    // Freed under the walker, or still a table but at another place; else it met words of a page's last owner.
    const bool table =
        !timeline.empty() &&
        system.world(timeline.back().after.env).page_at(f.page)->usage.state == model::PageState::table;
    return given != nullptr || table ? Cause::no_grace_period : Cause::none;
  }
  if (f.other_owner) return Cause::asid;
  if (f.live) return Cause::freed_early;
  if (f.harm == Harm::unexpected_fault && !timeline.empty())
    return explain_fault(system, violation, timeline);
  const bool by_entry = f.harm == Harm::stale_page || f.harm == Harm::stale_table ||
                        f.harm == Harm::break_before_make || f.harm == Harm::stale_permission ||
                        (f.harm == Harm::lost_update && !f.entry.holders.empty());
  if (!by_entry || timeline.empty()) return Cause::none;
  if (violation.hardware)
    return Cause::freed_early;  // the page was put to use while walks could still reach it

  // What was exposed is no old entry but the current tables: a page's last words, before its zeros are visible.
  if (f.by_leftovers()) {
    const model::World& world = system.world(timeline.back().after.env);
    const bool zeroed = std::ranges::any_of(world.cpus, [&](const model::Cpu& c) {
      return std::ranges::find(c.buffer, f.entry.slot, &model::Buffered::slot) != c.buffer.end();
    });
    return zeroed ? Cause::no_dsb : Cause::none;
  }

  if (!f.entry.flights.empty() && f.entry.holders.empty())
    return Cause::no_dsb;  // the erratum's repetition is missing
  // An invalidation is under way: what is missing is its completion.
  if (!f.entry.unsynchronised.empty() && f.entry.unsynchronised == f.entry.holders) return Cause::no_isb;
  shadow::CpuSet doomed = f.entry.unsynchronised;
  for (const shadow::Doom& d : f.entry.dooms) doomed = doomed | d.cpus;
  if (!f.entry.dooms.empty() && (f.entry.holders - doomed).empty()) return Cause::no_dsb;

  EntryHistory history(r, f.entry);
  for (const explore::TimelineStep& step : timeline)
    for (const Event& event : step.events) history.see(event);
  if (history.had(Outcome::early)) return Cause::tlbi_before_clear;
  if (history.had(Outcome::contiguous)) return Cause::contiguous;
  if (history.had(Outcome::last_level)) return Cause::last_level;
  if (history.had(Outcome::asid)) return Cause::asid;
  if (history.had(Outcome::scope)) return Cause::scope;
  if (history.had(Outcome::level_hint) || history.had(Outcome::granule)) return Cause::coverage;
  if (history.covered_too_early()) return Cause::tlbi_before_clear;
  if (history.ended_beside() || history.went_astray()) return Cause::coverage;
  const bool released = f.harm != Harm::break_before_make && given != nullptr;
  if (released && flushed_later(system, timeline.back().after, violation.cpu, given->site, f.entry))
    return Cause::freed_early;
  return Cause::no_tlbi;
}

}  // namespace shootdown::scenario
