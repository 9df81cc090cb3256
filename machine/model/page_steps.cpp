// SPDX-License-Identifier: MIT
// Pages that change hands, and what keeps them: allocation, release and reuse, read sections and grace periods.
#include <algorithm>

#include "machine/model/stepper.hpp"

namespace shootdown::model {

using machine::PageUse;
using shadow::CpuSet;
using shadow::Finding;
using shadow::Harm;

// ---- allocation and release ---------------------------------------------------------------------------------

// Any page that was given back may come again, or the lowest of them only; else one that was never used: those are all
// alike.
Stepper::Outcomes Stepper::ways(unsigned cpu, const op::AllocPages& o) const {
  Outcomes all;
  PhysAddr unused{};
  for (const Page& p : w_.pages) {
    if (!p.allocatable || p.order != o.order) continue;
    if (p.usage.state == PageState::released && (setup_.any_page || all.empty()))
      all.push_back({p.start.value});
    if (p.usage.state == PageState::free && unused == PhysAddr{}) unused = p.start;
  }
  if (all.empty() && unused != PhysAddr{}) all.push_back({unused.value});
  // What it has freed itself is there for it, once that has happened.
  const bool own = std::ranges::any_of(w_.cpus[cpu].buffer, [&](const Buffered& b) {
    const Page* p = b.kind == Buffered::Kind::free ? w_.page_at(b.slot) : nullptr;
    return p != nullptr && p->allocatable && p->order == o.order;
  });
  if (all.empty() && own) return {};
  if (all.empty() || setup_.allocation_may_fail) all.push_back({0});
  return all;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::AllocPages& o, Outcome way) {
  Page* p = way.answer != 0 ? w_.page_at(PhysAddr(way.answer)) : nullptr;
  if (p == nullptr) return std::nullopt;
  order_reads(cpu);  // the allocator's lock was taken
  const bool again = p->usage.state == PageState::released;
  p->usage = {.state = o.use == PageUse::table ? PageState::table : PageState::used,
              .owner = static_cast<std::uint8_t>(cpu)};
  if (!again) return std::nullopt;
  const auto finding = check_release(w_.shadow, w_.memory, p->range(page_shift()));
  return finding ? std::optional(Violation{*finding, cpu}) : std::nullopt;
}

// The allocator's lock is dropped when the page is on its list: a release, and no more than that.
Stepper::Verdict Stepper::act(unsigned cpu, const op::FreePages& o, Outcome) {
  const std::uint64_t bytes = std::uint64_t{1} << (page_shift() + o.order);
  return release_marker(cpu, {.kind = Buffered::Kind::free, .slot = o.page, .value = (o.page + bytes).value});
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::ReleaseRange& o, Outcome) {
  return release_marker(cpu,
                        {.kind = Buffered::Kind::free, .slot = o.range.start, .value = o.range.end.value});
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::DeferFree& o, Outcome) {
  cpu_at(cpu).deferred.push_back(to_word(machine::Deferred{o.page, o.use, o.order}));
  return std::nullopt;
}

Stepper::Outcomes Stepper::ways(unsigned cpu, const op::TakeDeferred&) const {
  const auto& list = w_.cpus[cpu].deferred;
  return {{list.empty() ? 0 : list.back()}};
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::TakeDeferred&, Outcome way) {
  if (way.answer != 0) cpu_at(cpu).deferred.pop_back();
  return std::nullopt;
}

Stepper::Outcomes Stepper::ways(unsigned, const op::TakeReleased&) const {
  Outcomes all;
  for (const Page& p : w_.pages)
    if (p.usage.state == PageState::released && (setup_.any_page || all.empty()))
      all.push_back({p.start.value});
  return all;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::TakeReleased&, Outcome way) {
  order_reads(cpu);
  Page* p = w_.page_at(PhysAddr(way.answer));
  p->usage = {.state = PageState::reused, .owner = static_cast<std::uint8_t>(cpu)};
  const auto finding = check_release(w_.shadow, w_.memory, p->range(page_shift()));
  return finding ? std::optional(Violation{*finding, cpu}) : std::nullopt;
}

Stepper::Verdict Stepper::release(unsigned cpu, PhysRange range, PageState to) {
  Verdict first;
  auto note = [&](Verdict v) {
    if (!first) first = std::move(v);
  };
  for (Page& p : w_.pages) {
    if (!p.range(page_shift()).overlaps(range)) continue;
    if (p.given_away()) note(plain(Harm::warning, cpu, p.start, "a page is freed that nobody owns"));
    if (p.usage.state == PageState::table) note(still_linked(cpu, p.start));
    if (!p.usage.walkers.empty()) note(plain(Harm::walker_table, cpu, p.start));
    p.usage = {.state = to, .owner = static_cast<std::uint8_t>(cpu), .carries_data = p.usage.carries_data};
  }
  if (first) return first;
  auto finding = check_release(w_.shadow, w_.memory, range);
  if (!finding)
    finding = check_still_mapped(w_.shadow, w_.memory, range, [&](VirtAddr va) {
      return setup_.mapped_by_design && setup_.mapped_by_design(va);
    });
  return finding ? std::optional(Violation{*finding, cpu}) : std::nullopt;
}

/// A table that a live tree still points to: every walker may go on using it. A space that is retired, and that no CPU
/// has in TTBR0, nobody walks.
Stepper::Verdict Stepper::still_linked(unsigned cpu, PhysAddr page) const {
  const auto& r = regime();
  const auto links = links_of(page);
  const auto walked = std::ranges::find_if(links, [&](const Link& link) {
    const shadow::Space& s = w_.shadow.spaces()[link.context.space];
    return !s.retired || !s.running.empty();
  });
  if (walked == links.end()) return std::nullopt;
  const auto& [t, context] = *walked;
  Finding f;
  f.harm = Harm::stale_table;
  f.holders = w_.shadow.spaces()[context.space].may_hold;
  f.entry = {{{t.level.above(), t.va, context}, {}, vmsa::make_table(r, page)}, f.holders, {}, {}, {}};
  f.va = t.va;
  f.page = page;
  f.live = true;
  return Violation{f, cpu};
}

// ---- memblock -----------------------------------------------------------------------------------------------

Stepper::Verdict Stepper::act(unsigned, const op::MemblockAdd& o, Outcome) {
  w_.memblock.push_back(o.range);
  return std::nullopt;
}
Stepper::Verdict Stepper::act(unsigned, const op::MemblockRemove& o, Outcome) {
  std::erase(w_.memblock, o.range);
  return std::nullopt;
}
Stepper::Outcomes Stepper::ways(unsigned, const op::PfnValid& o) const {
  return {{std::ranges::any_of(w_.memblock, [&](PhysRange r) { return r.contains(o.pa); })}};
}
Stepper::Verdict Stepper::act(unsigned, const op::PfnValid&, Outcome) { return std::nullopt; }

// ---- read sections and grace periods ------------------------------------------------------------------------

// Interrupts off, or being in a handler, is a section as well. It has ended when its end is visible.
bool Stepper::in_section(unsigned cpu) const {
  const Cpu& c = w_.cpus[cpu];
  return c.sections > 0 || c.mask != 0 || c.active != 0 ||
         std::ranges::find(c.buffer, Buffered::Kind::end_section, &Buffered::kind) != c.buffer.end();
}

/// What was found inside is let go; and who waited for this CPU need not any more, once it is in no other section.
void Stepper::section_ends(unsigned cpu, std::uint8_t which) {
  Cpu& c = cpu_at(cpu);
  if (which == rcu_section) --c.sections;
  const bool pending = std::ranges::any_of(c.buffer, [](const Buffered& b) {
    return b.kind == Buffered::Kind::end_section && b.number != interrupt_section;
  });
  if (which == interrupt_section ? c.active == 0 : c.sections == 0 && c.mask == 0 && !pending)
    for (Page& p : w_.pages) p.usage.walkers = p.usage.walkers - walker(cpu, which == interrupt_section);
  if (in_section(cpu)) return;
  const CpuSet self = CpuSet::one(cpu);
  const bool waited_for =
      std::ranges::any_of(w_.cpus, [&](const Cpu& x) { return x.grace.contains(cpu); }) ||
      std::ranges::any_of(w_.callbacks, [&](const Callback& x) { return x.waits_for.contains(cpu); });
  if (waited_for) order_reads(cpu);
  for (Cpu& x : w_.cpus) x.grace = x.grace - self;
  for (Callback& x : w_.callbacks) x.waits_for = x.waits_for - self;
}

CpuSet Stepper::in_sections() const {
  CpuSet all;
  for (unsigned cpu = 0; cpu < w_.cpu_count(); ++cpu)
    if (in_section(cpu)) all = all | CpuSet::one(cpu);
  return all;
}

/// Whoever is in no section now sees in its next one what was visible before the grace period began.
void Stepper::begin_grace() {
  const CpuSet inside = in_sections();
  for (unsigned cpu = 0; cpu < w_.cpu_count(); ++cpu)
    if (!inside.contains(cpu)) order_reads(cpu);
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::BeginSection&, Outcome) {
  ++cpu_at(cpu).sections;
  return std::nullopt;
}
Stepper::Verdict Stepper::act(unsigned cpu, const op::EndSection&, Outcome) {
  return release_marker(cpu, {.kind = Buffered::Kind::end_section, .number = rcu_section});
}

// A grace period is a full barrier at both ends. A CPU that waits for its own section waits for ever.
Stepper::Outcomes Stepper::ways(unsigned cpu, const op::BeginGrace&) const {
  return all_visible(cpu) ? Outcomes{{}} : Outcomes{};
}
Stepper::Verdict Stepper::act(unsigned cpu, const op::BeginGrace&, Outcome) {
  order_reads(cpu);
  begin_grace();
  cpu_at(cpu).grace = in_sections();
  return std::nullopt;
}
Stepper::Outcomes Stepper::ways(unsigned cpu, const op::AwaitGrace&) const {
  return w_.cpus[cpu].grace.empty() && all_visible(cpu) ? Outcomes{{}} : Outcomes{};
}
Stepper::Verdict Stepper::act(unsigned cpu, const op::AwaitGrace&, Outcome) {
  order_reads(cpu);
  return std::nullopt;
}

Stepper::Verdict Stepper::act(unsigned cpu, const op::FreeAfterGrace& o, Outcome) {
  return release_marker(
      cpu, {.kind = Buffered::Kind::call, .value = to_word(machine::Deferred{o.page, o.use, o.order})});
}

std::vector<unsigned> Stepper::ended_graces() const {
  std::vector<unsigned> all;
  for (unsigned i = 0; i < w_.callbacks.size(); ++i)
    if (w_.callbacks[i].waits_for.empty()) all.push_back(i);
  return all;
}

Stepper::Verdict Stepper::run_callback(unsigned index) {
  const Callback c = w_.callbacks[index];
  w_.callbacks.erase(w_.callbacks.begin() + index);
  const auto d = from_word<machine::Deferred>(c.page);
  const std::uint64_t bytes = std::uint64_t{1} << (page_shift() + d.order);
  return release(c.cpu, {d.page, d.page + bytes}, PageState::released);
}

}  // namespace shootdown::model
