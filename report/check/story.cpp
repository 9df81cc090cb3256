// SPDX-License-Identifier: MIT
#include "report/check/story.hpp"

#include <map>

#include <fmt/format.h>

#include "report/check/describe.hpp"

namespace shootdown::report {
namespace {

namespace op = model::op;

using model::Descriptor;
using model::Event;
using model::PhysAddr;
using shadow::TableAt;

/// Which table each page is, or was when it was last linked.
class Tables {
 public:
  Tables(const shadow::Shadow& shadow) : shadow_(shadow), r_(shadow.regime()) {}

  /// Learns the tables that are linked in this memory, which is the present one or one of the future; what is known
  /// gives way to the present.
  void learn(const model::Memory& memory, bool future) {
    for (std::uint8_t space = 0; space < shadow_.spaces().size(); ++space) {
      const TableAt top = shadow_.top(space);
      if (top.page == PhysAddr{}) continue;
      add(top, future);
      shadow::for_each_below(r_, memory, top, shadow_.context(space),
                             [&](const shadow::Place& p, PhysAddr, Descriptor d) {
                               if (d.is_table(p.level)) add(shadow::table_of(r_, p, d), future);
                             });
    }
  }
  std::optional<shadow::Place> place(PhysAddr slot) const {
    const PhysAddr page = slot.align_down(r_.page_size());
    const auto known = known_.find(page.value);
    if (known == known_.end()) return std::nullopt;
    const TableAt& t = known->second.at;
    return shadow::Place{t.level, t.va + (slot - page) / sizeof(Descriptor) * r_.span(t.level)};
  }
  /// Could walkers read this slot's page by now? Not while it is a table only to be.
  bool was_linked(PhysAddr slot) const {
    const auto known = known_.find(slot.align_down(r_.page_size()).value);
    return known != known_.end() && known->second.linked;
  }

 private:
  struct Known {
    TableAt at;
    bool linked;
  };
  void add(const TableAt& t, bool future) {
    if (future)
      known_.emplace(t.page.value, Known{t, false});
    else
      known_[t.page.value] = {t, true};
  }

  const shadow::Shadow& shadow_;
  const vmsa::Regime& r_;
  std::map<std::uint64_t, Known> known_;
};

std::string lock_name(machine::Lock lock) {
  return lock == machine::Lock::memory_hotplug ? "mem_hotplug_lock" : "init_mm.page_table_lock";
}

std::string use_name(machine::PageUse use) {
  switch (use) {
    case machine::PageUse::table: return "table page";
    case machine::PageUse::vmemmap: return "vmemmap page";
    case machine::PageUse::data: break;
  }
  return "page";
}

/// Follows the events of a run and tells them, with the memory as it is at each.
class Teller {
 public:
  Teller(const model::Setup& setup, const vmsa::Regime& r, const shadow::Finding& finding)
      : r_(r), finding_(finding), memory_(setup.world.memory), tables_(setup.world.shadow) {
    tables_.learn(memory_, false);
  }

  /// Tables that will be linked later: their first stores come before anything points to them.
  void look_ahead(const std::vector<explore::TimelineStep>& steps) {
    model::Memory future = memory_;
    for (const auto& step : steps)
      for (const Event& e : step.events)
        for (const Event::Visible& s : e.stores) {
          future.write(s.slot, s.after);
          tables_.learn(future, true);
        }
  }

  std::vector<StoryLine> tell(const std::vector<explore::TimelineStep>& steps) {
    std::vector<StoryLine> lines;
    for (const auto& step : steps) {
      ++step_;
      for (const Event& e : step.events) lines.push_back(tell(e));
    }
    return lines;
  }

  unsigned step() const { return step_; }
  std::optional<Story::Deed> released;  ///< who gave the page of the finding away
  std::optional<Story::Deed> taken;     ///< and who took it over
  model::Site last_site;                ///< of the code behind the last event

 private:
  StoryLine tell(const Event& e) {
    StoryLine line{.step = step_};
    line.who = fmt::format("CPU {}", e.cpu);
    switch (e.kind) {
      case Event::Kind::operation:
        last_site = e.site;
        line.function = e.site.function();
        line.text = operation(e, line);
        line.code = last_site.function();
        break;
      case Event::Kind::drain:
        last_site = origin_[{e.cpu, e.drained.slot.value}];
        line.function = "(store buffer)";
        line.code = last_site.function();
        line.text = becomes_visible(e);
        break;
      case Event::Kind::interrupt:
        line.function = "(exception entry)";
        line.text = e.level == model::Level::nmi ? "takes a pseudo-NMI" : "takes an interrupt";
        break;
      case Event::Kind::interrupt_return:
        line.function = "(exception return)";
        line.text = "returns";
        break;
      case Event::Kind::callback:
        line.function = "(RCU callback)";
        line.text = "a grace period has ended: its pages are freed";
        break;
      case Event::Kind::hardware_access_flag:
        last_site = {};
        line.function = "(table walk)";
        line.text = "hardware sets an access flag";
        break;
    }
    see_stores(e, line);
    for (const auto& [entry, outcome] : e.invalidated)
      line.notes.push_back(describe(r_, e.operation<op::Tlbi>()->tlbi, e.cpu, entry, outcome));
    for (const shadow::Entry& entry : e.dropped)
      line.notes.push_back(
          fmt::format("no longer held by {}: {}", dropped_by(e, entry), describe(r_, entry)));
    line.relevant = is_relevant(e);
    if (e.violation) {
      line.notes.push_back(describe(r_, *e.violation, model::is<op::TakeReleased>(e.op)));
      line.harmful = line.relevant = true;
      line.reading = false;
    }
    return line;
  }

  std::string becomes_visible(const Event& e) {
    switch (e.drained.kind) {
      case model::Buffered::Kind::drop_lock:
      case model::Buffered::Kind::drop_lock_shared:
        return "its unlock becomes visible: others may take the lock";
      case model::Buffered::Kind::end_section: return "its read section has ended";
      case model::Buffered::Kind::call: return "a grace period begins for what it has queued";
      case model::Buffered::Kind::free: {
        const vmsa::PhysRange given{e.drained.slot, PhysAddr(e.drained.value)};
        return fmt::format("memory {} is there for others to take", memory(given));
      }
      default: return "its store becomes visible to every walker";
    }
  }

  bool is_relevant(const Event& e) const {
    const auto same_slot = [&](PhysAddr slot) { return slot == finding_.entry.slot; };
    for (const Event::Visible& s : e.stores)
      if (same_slot(s.slot)) return true;
    for (const auto& [entry, outcome] : e.invalidated)
      if (same_slot(entry.slot)) return true;
    for (const shadow::Entry& entry : e.dropped)
      if (same_slot(entry.slot)) return true;
    const auto keeps = [&](PhysAddr page) { return page == finding_.page; };
    return std::visit(
        model::Overloaded{[&](const op::WriteOnce& o) { return same_slot(o.slot) || e.cpu != 0; },
                          [&](const op::Cmpxchg& o) { return same_slot(o.slot) || e.cpu != 0; },
                          [&](const op::FreePages& o) { return keeps(o.page); },
                          [&](const op::DeferFree& o) { return keeps(o.page); },
                          [](const op::Dsb&) { return false; }, [](const op::Isb&) { return false; },
                          [](const op::Tlbi&) { return false; }, [](const auto&) { return true; }},
        e.op);
  }
  void gives_away(const Event& e, vmsa::PhysRange range) {
    origin_[{e.cpu, range.start.value}] = e.site;
    if (range.contains(finding_.page)) released = {step_, e.cpu, e.site.function()};
  }
  vmsa::PhysRange pages(PhysAddr start, unsigned order) const {
    return {start, start + (r_.page_size() << order)};
  }

  /// A DSB takes an entry from all but its issuer, whose own pipeline an ISB has to synchronise.
  std::string dropped_by(const Event& e, const shadow::Entry& entry) const {
    if (model::is<op::Isb>(e.op)) return describe(shadow::CpuSet::one(e.cpu));
    shadow::CpuSet cpus;
    for (const shadow::Doom& d : entry.dooms)
      if (d.issuer == e.cpu) cpus = cpus | d.cpus;
    cpus = cpus - shadow::CpuSet::one(e.cpu);
    return cpus.empty() ? fmt::format("CPU {} after its next ISB", e.cpu) : describe(cpus);
  }

  void see_stores(const Event& e, StoryLine& line) {
    for (const Event::Visible& s : e.stores) {
      memory_.write(s.slot, s.after);
      auto& own = own_[e.cpu];
      if (const auto mine = own.find(s.slot.value); mine != own.end() && mine->second == s.after)
        own.erase(mine);
      std::string text =
          (e.kind == Event::Kind::operation ? "now visible: " : "") + change(s.slot, s.before, s.after);
      const auto place = tables_.place(s.slot);
      if (place && tables_.was_linked(s.slot) && e.kind != Event::Kind::hardware_access_flag &&
          shadow::cacheable(r_, place->level, s.before) && s.before != s.after)
        text += "; CPUs may keep the old value";
      tables_.learn(memory_, false);
      line.notes.push_back(std::move(text));
    }
  }

  std::string slot_name(PhysAddr slot) const {
    if (const auto p = tables_.place(slot))
      return fmt::format("{} of {:#x}", level_name(r_, p->level), p->va.value);
    return fmt::format("word at {:#x}", slot.value);
  }
  std::string value(PhysAddr slot, Descriptor d) const {
    const auto p = tables_.place(slot);
    return p ? report::describe(r_, p->level, d) : hex(d.bits);
  }
  std::string change(PhysAddr slot, Descriptor from, Descriptor to) const {
    return fmt::format("{}: {} -> {}", slot_name(slot), value(slot, from), value(slot, to));
  }
  /// The value of a slot as a CPU sees it.
  Descriptor seen(unsigned cpu, PhysAddr slot) const {
    const auto& own = own_[cpu];
    const auto mine = own.find(slot.value);
    return mine != own.end() ? mine->second : memory_.read(slot);
  }
  void buffered(const Event& e, PhysAddr slot, Descriptor value) {
    own_[e.cpu][slot.value] = value;
    origin_[{e.cpu, slot.value}] = e.site;
  }

  std::string operation(const Event& e, StoryLine& line) {
    line.reading = is_reading(e.op);
    return std::visit([&](const auto& o) { return words(e, o); }, e.op);
  }

  /// Lines that only look: a reader may skip them.
  static bool is_reading(const model::Operation& o) {
    return model::is<op::ReadOnce>(o) || model::is<op::Load>(o) || model::is<op::Store>(o) ||
           model::is<op::PfnValid>(o) || model::is<op::Choose>(o) || model::is<op::Done>(o) ||
           model::is<op::TakeDeferred>(o);
  }

  // What each operation is called, and what it did.
  std::string words(const Event& e, const op::ReadOnce& o) {
    return fmt::format("{} {}: {}", e.read_early ? "reads, early," : "reads", slot_name(o.slot),
                       value(o.slot, Descriptor{e.answer}));
  }
  std::string words(const Event& e, const op::WriteOnce& o) {
    std::string text = change(o.slot, seen(e.cpu, o.slot), o.value) + ", in its store buffer";
    buffered(e, o.slot, o.value);
    return text;
  }
  std::string words(const Event& e, const op::Cmpxchg& o) {
    if (e.answer == o.expected.bits) return "cmpxchg " + change(o.slot, o.expected, o.desired);
    return fmt::format("cmpxchg of {} fails: {}", slot_name(o.slot), value(o.slot, Descriptor{e.answer}));
  }
  std::string words(const Event&, const op::Dsb& o) {
    return fmt::format("DSB {}", machine::dsb_names[static_cast<std::size_t>(o.kind)]);
  }
  std::string words(const Event&, const op::Isb&) { return "ISB"; }
  std::string words(const Event&, const op::Tlbi& o) { return describe(r_, o.tlbi); }
  std::string access(const Event& e, const char* what, vmsa::VirtAddr va) {
    return fmt::format("{} {:#x}: {}", what, va.value,
                       model::is_fault(e.answer) ? fault_name(e.answer) : "translated");
  }
  static const char* fault_name(std::uint64_t answer) {
    switch (model::from_word<machine::Access>(answer).fault) {
      case vmsa::Fault::access_flag: return "access flag fault";
      case vmsa::Fault::permission: return "permission fault";
      default: return "translation fault";
    }
  }
  std::string words(const Event& e, const op::Load& o) { return access(e, "loads from", o.va); }
  std::string words(const Event& e, const op::Store& o) { return access(e, "stores to", o.va); }
  std::string words(const Event& e, const op::AllocPages& o) {
    if (e.answer == 0) return fmt::format("allocation of a {} fails", use_name(o.use));
    return fmt::format("allocates {} {:#x}", use_name(o.use), e.answer);
  }
  std::string words(const Event&, const op::ClearPage& o) {
    return fmt::format("zeroes page {:#x}", o.page.value);
  }
  std::string words(const Event& e, const op::FreePages& o) {
    gives_away(e, pages(o.page, o.order));
    return fmt::format("frees {} {:#x}", use_name(o.use), o.page.value) +
           (o.order > 0 ? fmt::format(" of order {}", o.order) : "");
  }
  std::string words(const Event&, const op::DeferFree& o) {
    return fmt::format("keeps {} {:#x} on its list", use_name(o.use), o.page.value);
  }
  std::string words(const Event& e, const op::TakeDeferred&) {
    if (e.answer == 0) return "its list is empty";
    return fmt::format("takes page {:#x} off its list",
                       model::from_word<machine::Deferred>(e.answer).page.value);
  }
  std::string words(const Event& e, const op::ReleaseRange& o) {
    gives_away(e, o.range);
    return fmt::format("hands memory {} back to its provider", memory(o.range));
  }
  static std::string memory(vmsa::PhysRange r) {
    return fmt::format("{:#x}-{:#x}", r.start.value, (r.end - 1).value);
  }
  std::string words(const Event&, const op::MemblockAdd& o) { return "memblock_add " + memory(o.range); }
  std::string words(const Event&, const op::MemblockRemove& o) {
    return "memblock_remove " + memory(o.range);
  }
  std::string words(const Event& e, const op::PfnValid& o) {
    return fmt::format("pfn_valid of {:#x}: {}", o.pa.value, e.answer != 0 ? "yes" : "no");
  }
  std::string words(const Event&, const op::TakeLock& o) { return "takes " + lock_name(o.lock); }
  std::string words(const Event&, const op::TakeLockShared& o) {
    return fmt::format("takes {} shared", lock_name(o.lock));
  }
  std::string words(const Event&, const op::DropLock& o) { return "drops " + lock_name(o.lock); }
  std::string words(const Event&, const op::DropLockShared& o) { return "drops " + lock_name(o.lock); }
  std::string words(const Event&, const op::CondResched&) { return "may be preempted"; }
  std::string words(const Event&, const op::Warn& o) { return fmt::format("WARN_ON: {}", o.what); }
  std::string words(const Event&, const op::UnexpectedFault& o) {
    return fmt::format("the access to {:#x} was to succeed", o.va.value);
  }
  std::string words(const Event& e, const op::Choose&) { return fmt::format("chooses {}", e.answer); }
  std::string words(const Event& e, const op::TakeReleased&) {
    if (PhysAddr(e.answer) == finding_.page) taken = {step_, e.cpu, e.site.function()};
    return fmt::format("takes over page {:#x}", e.answer);
  }
  std::string words(const Event& e, const op::DataStore& o) {
    buffered(e, o.pa, Descriptor{o.value});
    return fmt::format("writes data {:#x} to {:#x}, in its store buffer", o.value, o.pa.value);
  }
  std::string words(const Event&, const op::Done&) { return "returns"; }
  std::string words(const Event& e, const op::FetchUpdate& o) {
    return "atomically " +
           change(o.slot, Descriptor{e.answer}, op::updated(o.update, Descriptor{e.answer}, o.operand));
  }
  std::string words(const Event&, const op::Dmb& o) {
    return o.kind == machine::Dmb::ish     ? "DMB ISH"
           : o.kind == machine::Dmb::ishst ? "DMB ISHST"
                                           : "DMB ISHLD";
  }
  std::string words(const Event& e, const op::AwaitWord& o) {
    return fmt::format("has waited until {} is {:#x}", slot_name(o.pa), e.answer);
  }
  std::string words(const Event& e, const op::Fetch& o) { return access(e, "fetches from", o.va); }
  std::string words(const Event&, const op::WriteTtbr0& o) {
    return fmt::format("TTBR0 <- table {:#x}, ASID {}", o.root.value, o.asid);
  }
  std::string words(const Event&, const op::RetireAsid& o) { return fmt::format("gives up ASID {}", o.asid); }
  std::string words(const Event&, const op::SetMask& o) {
    return o.mask == model::Mask::none         ? "takes interrupts"
           : o.mask == model::Mask::interrupts ? "takes no interrupts but pseudo-NMIs"
                                               : "takes no interrupts at all";
  }
  std::string words(const Event&, const op::SendSgi& o) {
    return fmt::format("sends {} to {}", o.level == model::Level::nmi ? "a pseudo-NMI" : "an SGI",
                       describe(o.to));
  }
  std::string words(const Event&, const op::BeginSection&) { return "enters a read section"; }
  std::string words(const Event&, const op::EndSection&) { return "leaves its read section"; }
  std::string words(const Event&, const op::BeginGrace&) { return "waits for all read sections of now"; }
  std::string words(const Event&, const op::AwaitGrace&) { return "its grace period has ended"; }
  std::string words(const Event& e, const op::FreeAfterGrace& o) {
    gives_away(e, pages(o.page, o.order));
    return fmt::format("frees {} {:#x} after a grace period", use_name(o.use), o.page.value);
  }
  std::string words(const Event&, const op::Rely& o) {
    return fmt::format("relies on {:#x}-{:#x} being restricted", o.range.start.value,
                       (o.range.end - 1).value);
  }

  const vmsa::Regime& r_;
  const shadow::Finding& finding_;
  model::Memory memory_;
  Tables tables_;
  std::array<std::map<std::uint64_t, Descriptor>, model::max_cpus> own_;  ///< buffered stores, the youngest
  std::map<std::pair<unsigned, std::uint64_t>, model::Site> origin_;  ///< the code behind a buffered store
  unsigned step_ = 0;
};

std::vector<explore::Choice> choices(const std::vector<explore::TimelineStep>& steps) {
  std::vector<explore::Choice> all;
  for (const auto& s : steps) all.push_back(s.choice);
  return all;
}

/// What the shadow holds at the end of a path, and since which step.
std::vector<Held> held_at_end(const scenario::CheckResult& result) {
  const auto follower = scenario::ready_to_follow(result.config);
  model::System& system = *follower;
  const auto steps = explore::follow(system, system.initial(), choices(result.counterexample->timeline),
                                     model::Judge::everything);
  std::vector<Held> held;
  for (unsigned i = 0; i < steps.size(); ++i) {
    std::vector<Held> now;
    system.world(steps[i].after.env).shadow.for_each([&](const shadow::Entry& e) {
      unsigned since = i + 1;
      for (const Held& before : held)
        if (before.entry.same_value(e)) since = before.since;
      now.push_back({e, since});
    });
    held = std::move(now);
  }
  return held;
}

}  // namespace

Story tell(const scenario::CheckResult& result) {
  const scenario::Counterexample& x = *result.counterexample;
  const model::Setup setup = scenario::set_up(result.config);
  Story story{.regime = setup.world.shadow.regime()};
  Teller teller(setup, story.regime, x.violation.finding);
  teller.look_ahead(x.timeline);
  story.lines = teller.tell(x.timeline);
  story.step = teller.step();
  if (!x.at_end) {
    story.trace = teller.last_site.functions;
    story.trace_line = teller.last_site.line;
  }
  story.consequence = teller.tell(x.consequence);
  story.held = held_at_end(result);
  story.released = teller.released;
  story.taken = teller.taken;
  return story;
}

}  // namespace shootdown::report
