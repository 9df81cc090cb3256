// SPDX-License-Identifier: MIT
// What is a harm, when it is one, and how it is told.
#include <algorithm>
#include <utility>

#include "audit/judge/judge.hpp"
#include "audit/regime.hpp"
#include "shadow/exposure.hpp"

namespace shootdown::audit {

using shadow::Cause;
using shadow::Harm;
using shadow::Place;

namespace {

/// Functions that unmap kernel addresses and leave the flush to their caller, who must flush before the
/// addresses are used again: lazy vunmap. The pages may be freed before (they are, by design).
constexpr std::array<std::string_view, 2> lazy_unmap_functions{"vunmap_range_noflush",
                                                               "__vunmap_range_noflush"};
/// A caller of theirs that flushes at once, as its own callers rely on.
constexpr std::string_view eager_unmap_function = "vunmap_range";

/// Hands memory to the page allocator for the first time. What maps it then is an alias for good, as the linear map
/// is: a block that was mapped for less, such as the device tree's.
constexpr std::string_view boot_memory_function = "__free_pages_core";

std::string cpu_list(CpuSet cpus) {
  std::string text;
  for (unsigned cpu = 0; cpu < max_cpus; ++cpu)
    if (cpus.contains(cpu)) text += fmt::format("{}{}", text.empty() ? "" : ",", cpu);
  return text;
}

const char* release_text(std::uint8_t op) {
  switch (static_cast<Release>(op)) {
    case Release::page: return "freed";
    case Release::batch: return "freed in a batch";
    case Release::root: return "freed";
    case Release::range: return "handed back to its provider";
  }
  return "released";
}

}  // namespace

bool Judge::is_lazy_unmap(std::uint32_t stack) {
  const auto [known, is_new] = lazy_stacks_.try_emplace(stack, false);
  if (!is_new) return known->second;
  const auto& functions = stacks_.functions(stack);
  const auto is_lazy = [](std::string_view f) {
    return std::ranges::find(lazy_unmap_functions, f) != lazy_unmap_functions.end();
  };
  auto at = std::ranges::find_if(functions, is_lazy);
  known->second = at != functions.end();
  while (at != functions.end() && is_lazy(*at)) ++at;
  if (at != functions.end() && *at == eager_unmap_function) known->second = false;
  return known->second;
}

/// The leaf that the tables have now where the entry came from.
std::optional<Tables::Leaf> Judge::instead_of(const StaleEntry& entry) {
  const auto slot = tables_.slot(entry.slot.value);
  const Context* c =
      slot ? tables_.context_of(*slot->table, entry.kernel, entry.place.context.asid) : nullptr;
  return c ? tables_.translate(*c, entry.place.va) : std::nullopt;
}

// The tables still lead there (a live alias at the same address, other permissions): nobody is harmed.
bool Judge::still_mapped(const StaleEntry& entry) {
  const auto now = instead_of(entry);
  const vmsa::Regime& r = tables_.regime_of({.kernel = entry.kernel});
  return now && now->output == vmsa::output_address(r, entry.place.level, entry.value);
}

void Judge::release(const Event& e) {
  if (e.b == 0 || e.b >> 52 != 0) return;
  const PhysAddr start(e.a);
  struct Found {
    EntryId id;
    StaleEntry entry;
  };
  std::vector<Found> leaves;
  std::vector<Found> tables;
  stale_.for_each_leaf_into(start, e.b, [&](EntryId id, const StaleEntry& s) { leaves.push_back({id, s}); });
  stale_.for_each_table_in(start, e.b, [&](EntryId id, const StaleEntry& s) { tables.push_back({id, s}); });
  const std::string what = fmt::format("table page 0x{:x} was {}", e.a, release_text(e.op));
  for (const Found& f : tables) report(harmed(e, Harm::stale_table, f.id, f.entry, what));
  for (const Found& f : leaves)
    if (!still_mapped(f.entry)) released_leaf(e, f.id, f.entry);
  released_while_mapped(e);
  tables_.remove(e.a, e.b, [&](const Table& table) {
    released_while_linked(e, table);
    // An address space that is gone runs no more; its ASID will be another's.
    const Context* c = tables_.context_of_root(table);
    if (c && !c->kernel) {
      deferred_.erase(c->asid);
      if (two_asids_) deferred_.erase(c->asid | 1);
    }
    profile_.table_freed();
  });
}

// No CPU needs to hold anything: every walk from here on goes through the page. A table that several roots share is
// linked until the last has let go.
void Judge::released_while_linked(const Event& e, const Table& table) {
  tables_.for_each_place(table, [&](const Context& c, VirtAddr va) {
    const auto link = tables_.link_to(table, c, va);
    const CpuSet holders = possible_holders(c);
    if (!link || holders.empty()) return;
    StaleEntry entry{*link, c.kernel};
    entry.birth.stack = e.stack;
    report({Harm::stale_table,
            Cause::freed_early,
            entry,
            fmt::format("table page 0x{:x} was {}", e.a, release_text(e.op)),
            who(e),
            holders,
            no_entry,
            {}});
  });
}

// Kernel addresses: any CPU may use them at any moment. A user's: only while its address space runs, so that
// one which never runs again (an exited process, whose ASID is retired without a TLBI) harms nobody.
void Judge::released_leaf(const Event& e, EntryId id, const StaleEntry& entry) {
  Harmed h =
      harmed(e, Harm::stale_page, id, entry, fmt::format("page 0x{:x} was {}", e.a, release_text(e.op)));
  if (!entry.kernel) {
    defer(std::move(h));
  } else if (is_lazy_unmap(entry.birth.stack)) {
    ++deferred_count_;  // judged when the addresses are mapped again: check_exposed()
  } else {
    report(h);
  }
}

Judge::Harmed Judge::harmed(const Event& e, Harm harm, EntryId id, const StaleEntry& entry,
                            std::string what) {
  Harmed h{harm, entry.why_kept, entry, std::move(what), who(e), entry.holders, id, {}};
  if (entry.why_kept != Cause::no_tlbi || entry.tlbi.event != 0) return h;
  if (auto near = near_miss(tables_.kernel_regime(), entry, cpus_[entry.birth.cpu].issued)) {
    h.cause = near->cause;
    h.entry.tlbi = near->tlbi;
    h.near = std::move(near->text);
  }
  return h;
}

void Judge::defer(Harmed h) {
  h.what += fmt::format(" (event {})", event_count_);
  deferred_[h.entry.place.context.asid].push_back(std::move(h));
}

/// The value as the worst of its holders may have it: hardware makes a writable-clean leaf writable, which no event tells.
Descriptor Judge::as_held(const StaleEntry& s) const {
  const bool may_be_dirty = s.value.has(Descriptor::dbm_bit) && !(s.holders & sets_dirty_state_).empty();
  return {may_be_dirty ? s.value.bits & ~Descriptor::read_only_bit : s.value.bits};
}

// What is written to a page while it is copied, or after it, is lost to the copy, and seen by whoever keeps the page.
// Threads of the process that may still write did so in the very moment, if they ran at all. Through an entry that is
// read-only or writable-clean nobody writes.
void Judge::copied(const Event& e) {
  if (e.b == 0 || e.b >> 52 != 0) return;
  stale_.for_each_leaf_into(PhysAddr(e.a), e.b, [&](EntryId id, const StaleEntry& s) {
    if (s.kernel || as_held(s).has(Descriptor::read_only_bit)) return;
    const auto now = instead_of(s);
    if (now && vmsa::is_writable(now->value) && still_mapped(s)) return;
    defer(harmed(e, Harm::stale_permission, id, s, fmt::format("page 0x{:x} was copied", e.a)));
  });
}

// The caller may rely on it from here on: a CPU that still has the old permission is one too many. Where the tables
// lead elsewhere by now, what was promised is no matter of permissions.
void Judge::permissions_changed(const Event& e, const PermissionCall& call) {
  for (const EntryId id : call.changed) {
    const StaleEntry* s = stale_.find(id);
    if (!s || s->is_table()) continue;
    const auto now = instead_of(*s);
    if (now && (!still_mapped(*s) || !vmsa::restricts(as_held(*s), now->value))) continue;
    Harmed h = harmed(e, Harm::stale_permission, id, *s, "the change of permissions returned to its caller");
    h.by.stack = call.stack;
    report(h);
  }
}

// This CPU was running user code in its address space until now. Whether it did so in the very moment of the release
// is the schedule's choice: an invalidation that was completed in the meantime came too late.
void Judge::user(const Event& e) {
  const std::uint16_t asid = asid_now(cpus_[e.cpu]);
  ran_user_code(asid, e.cpu);
  // The kernel reaches the process's memory with the other one.
  if (two_asids_) ran_user_code(asid ^ 1, e.cpu);
}

void Judge::ran_user_code(std::uint16_t asid, unsigned cpu) {
  const auto deferred = deferred_.find(asid);
  if (deferred == deferred_.end() || deferred->second.empty()) return;
  for (Harmed& h : std::exchange(deferred->second, {})) {
    if (!h.holders.contains(cpu)) {
      deferred->second.push_back(std::move(h));
      continue;
    }
    h.what += fmt::format(", and CPU {} ran the process afterwards", cpu);
    report(h);
  }
}

// A valid descriptor, or what a table makes reachable, over another that may still be held (R_WHZWS), the replaced one
// included. Values that only lack their holder's own context synchronisation do not count: break-before-make asks for
// none (R_DDMVT).
void Judge::check_exposed(const Change& x, const Event& e) {
  const vmsa::Regime& r = tables_.regime_of(x.context);
  const auto expose = [&](const Place& place, Descriptor now) {
    stale_.for_each_at(place, x.context.kernel, r.span(place.level), [&](EntryId id, const StaleEntry& s) {
      const CpuSet holders = s.holders - s.unsynchronised;
      if (holders.empty() ||
          shadow::exposure_conflict(r, s, place, now, vmsa::BbmLevel::level0) == vmsa::Conflict::none)
        return;
      const bool in_place = s.slot == x.slot && s.value == x.old;
      const char* how = place != x.place ? "mapped again below the table"
                        : in_place       ? "replaced in place by"
                                         : "mapped again by";
      Harmed h =
          harmed(e, Harm::break_before_make, id, s, fmt::format("{} 0x{:016x} over it", how, x.now.bits));
      h.holders = holders;
      report(h);
    });
  };
  expose(x.place, x.now);
  tables_.for_each_below(x.place, x.now,
                         [&](const Place& place, PhysAddr, Descriptor d) { expose(place, d); });
}

void Judge::report(const Harmed& h) {
  // Code that runs under the identity map, one CPU alone, before the kernel is where it belongs.
  if (h.by.stack == 0) {
    ++early_count_;
    return;
  }
  if (h.id != no_entry && !reported_.insert(std::uint64_t{h.id.index} << 32 | h.id.generation).second) return;
  const auto innermost = [&](std::uint32_t stack) {
    const auto& functions = stacks_.functions(stack);
    return functions.empty() ? std::string("?") : functions.front();
  };
  // Who wrote the conflicting descriptor is at fault, whoever touched the old one last. Elsewhere it is who changed it;
  // who relied on that tells the findings apart.
  const bool by_writer = h.harm == Harm::break_before_make;
  const std::string function = innermost(by_writer ? h.by.stack : h.entry.birth.stack);
  const std::string actor = by_writer ? std::string() : innermost(h.by.stack);
  Violation& v = violations_[{h.harm, h.cause, function, actor}];
  if (v.count++ > 0) return;
  v.harm = h.harm;
  v.cause = h.cause;
  v.function = function;
  v.title = fmt::format("{} in {}", shadow::name(h.harm), function);
  v.splat = splat(h);
}

// Nobody needs to hold the leaf, every walk finds it: not in the linear map, which maps each page that is free. A
// process harms by running on; kernel code may unmap the page later (free_initmem() does) and is harmed by nobody if
// it does not use the address until then, so a kernel's leaf is judged when the run is over.
void Judge::released_while_mapped(const Event& e) {
  const bool is_first = stacks_.passes_through(e.stack, boot_memory_function);
  tables_.for_each_mapping_of(PhysAddr(e.a), e.b, [&](const shadow::Held& mapping, const Context& c) {
    if (is_first) boot_aliases_.insert(mapping.slot.value);
    if (boot_aliases_.contains(mapping.slot.value)) return;
    StaleEntry entry{mapping, c.kernel};
    entry.holders = possible_holders(c);
    entry.birth.stack = e.stack;
    entry.why_kept = Cause::freed_early;
    const std::string what = fmt::format("page 0x{:x} was {}", e.a, release_text(e.op));
    if (!c.kernel) {
      defer(harmed(e, Harm::stale_page, no_entry, entry, what));
    } else if (!entry.holders.empty()) {
      left_mapped_.try_emplace(
          mapping.slot.value,
          Harmed{Harm::stale_page,
                 Cause::freed_early,
                 entry,
                 fmt::format("{} (event {}), and is still mapped when the run ends", what, event_count_),
                 who(e),
                 entry.holders,
                 no_entry,
                 {}});
    }
  });
}

void Judge::ended() {
  for (const auto& [address, harmed] : std::exchange(left_mapped_, {})) {
    const auto slot = tables_.slot(address);
    if (slot && slot->table->placed() && slot->word() == harmed.entry.value.bits) report(harmed);
  }
}

std::string Judge::issued_since(const Harmed& h) {
  const Deed& tlbi = h.entry.tlbi;
  if (tlbi.event == 0) return "no TLBI that could concern it was issued since";
  const auto& places = stacks_.places(tlbi.stack);
  return fmt::format(
      "{}{} by CPU {} in {} (event {})",
      h.near.empty() ? "the last TLBI that could concern it: " : "nothing covered it; closest came ",
      h.near.empty() ? vmsa::tlbi_name(vmsa::tlbi_ops[tlbi.op]).c_str() : h.near.c_str(), tlbi.cpu,
      places.empty() ? "?" : places.front(), tlbi.event);
}

std::vector<std::string> Judge::splat(const Harmed& h) {
  const StaleEntry& s = h.entry;
  std::vector<std::string> lines;
  const auto& clear = stacks_.places(s.birth.stack);
  const auto& act = stacks_.places(h.by.stack);
  const auto& culprit = h.harm == Harm::break_before_make ? act : clear;
  lines.push_back(
      fmt::format("BUG: Shootdown: {} in {}", shadow::name(h.harm), culprit.empty() ? "?" : culprit.front()));
  lines.push_back(fmt::format("cause: {} ({})", shadow::name(h.cause),
                              shadow::cause_texts[static_cast<std::size_t>(h.cause)].meaning));
  lines.push_back(fmt::format("{} (event {})", h.what, event_count_));
  lines.push_back(fmt::format(
      "CPUs {} may still hold level {} {} 0x{:016x} for {} address 0x{:016x}{}", cpu_list(h.holders),
      s.place.level.value, s.is_table() ? "table" : "leaf", s.value.bits, s.kernel ? "kernel" : "user",
      s.place.va.value, s.kernel ? std::string() : fmt::format(" of ASID 0x{:x}", s.place.context.asid)));
  if (h.id == no_entry) {
    lines.push_back("the tables still say so: it was not cleared");
  } else {
    lines.push_back(fmt::format("CPU {} {} changed it: 0x{:016x} -> 0x{:016x} (event {}, {} us before)",
                                s.birth.cpu, threads_.text(s.birth.thread), s.value.bits, s.birth.instead,
                                s.birth.event, time_us_ - s.birth.time_us));
    for (const std::string& place : clear) lines.push_back(" " + place);
    lines.push_back(issued_since(h));
  }
  lines.push_back(fmt::format("CPU {} {} did it:", h.by.cpu, threads_.text(h.by.thread)));
  for (const std::string& place : act) lines.push_back(" " + place);
  return lines;
}

std::vector<std::string> Judge::maintenance_reached() {
  std::vector<std::string> reached;
  for (const std::uint32_t stack : tlbi_stacks_) {
    const auto& functions = stacks_.functions(stack);
    if (!functions.empty() && std::ranges::binary_search(header_.maintenance, functions.front()))
      reached.push_back(functions.front());
  }
  std::ranges::sort(reached);
  const auto repeated = std::ranges::unique(reached);
  reached.erase(repeated.begin(), repeated.end());
  return reached;
}

AuditResult Judge::result() {
  AuditResult r;
  r.kernel = header_.kernel;
  r.release = header_.release;
  r.workload = header_.workload;
  r.cpu_model = header_.cpu_model;
  r.page_shift = header_.page_shift;
  r.cpus = header_.cpus;
  r.memory_bytes = header_.memory_bytes;
  r.events = event_count_;
  r.stale_entries_max = stale_max_;
  r.deferred_count = deferred_count_;
  for (auto& [key, violation] : violations_) r.violations.push_back(violation);
  std::ranges::stable_sort(r.violations, std::greater(), &Violation::count);
  profile_.fill(r, stacks_);
  r.blind_spots = {
      "one schedule: what other interleavings would do was not seen",
      "functions that the workload did not reach",
      "a store by one CPU flushed by another is taken to have been ordered between them",
      "stores still on their way after TLBI and DSB: the second TLBI of erratum CVE-2025-10263 is not asked "
      "for",
      "accesses to user memory by the kernel itself, after the page was given back",
      "pages given back by paths other than the page allocator's watched functions",
      "pages given back while kernel addresses map them, if they are unmapped before the run ends",
      "restrictions of permissions that neither mprotect's return nor the copy of a page relies on",
      "walker-table, lost-update, unexpected-fault, livelock, deadlock and leak are not looked for",
      "stack frames beyond the innermost two may be those of an earlier call through the same frame",
  };
  r.blind_spots.insert(r.blind_spots.end(), header_.blind_spots.begin(), header_.blind_spots.end());
  r.maintenance = header_.maintenance;
  r.maintenance_reached = maintenance_reached();
  if (judged_store_count_ == 0)
    r.judged_nothing = "no store to a translation table in use was seen";
  else if (release_count_ == 0)
    r.judged_nothing = "no page was seen to be given back";
  if (saw_other_tlbi_)
    r.blind_spots.push_back("TLBI operations of other exception levels or of the Outer Shareable domain");
  return r;
}

}  // namespace shootdown::audit
