// SPDX-License-Identifier: MIT
#include "audit/judge/stale_set.hpp"

#include <algorithm>

namespace shootdown::audit {
namespace {

using shadow::Cause;
using shadow::Outcome;
using vmsa::Level;
using vmsa::VirtAddr;
using vmsa::VirtRange;

/// Tables and leaves of one page never mix: bit 1 tells them apart, the level is in bits [5:2].
std::uint64_t output_key(PhysAddr output, Level level, bool table) {
  return output.value | static_cast<std::uint64_t>(level.value + 2) << 2 | (table ? 2u : 0u);
}

}  // namespace

std::uint64_t StaleSet::page_key(const StaleEntry& e) const {
  return output_key(vmsa::output_address(regime(e.kernel), e.place.level, e.value), e.place.level,
                    e.is_table());
}

EntryId StaleSet::add(const Place& place, bool kernel, PhysAddr slot, Descriptor value, CpuSet holders,
                      const Birth& birth) {
  if (!shadow::cacheable(regime(kernel), place.level, value, true) || holders.empty()) return {none, 0};
  ByPlace& context = contexts_[context_key(place, kernel)];
  const auto [head, is_new] = context.first.try_emplace(place_key(place), none);
  for (std::uint32_t i = head->second; i != none; i = nodes_[i].next_place) {
    StaleEntry& e = nodes_[i].entry;
    if (e.slot != slot || e.value != value || e.place != place) continue;
    e.holders = e.holders | holders;
    e.unsynchronised = e.unsynchronised - holders;
    e.doomed = {};
    e.why_kept = Cause::no_tlbi;
    e.birth = birth;
    e.tlbi = e.dsb = {};
    // Outstanding operations were issued for what was stale then: a new generation escapes them.
    ++nodes_[i].generation;
    return {i, nodes_[i].generation};
  }
  std::uint32_t index;
  if (free_.empty()) {
    index = static_cast<std::uint32_t>(nodes_.size());
    nodes_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  Node& node = nodes_[index];
  node.entry = {{place, slot, value}, kernel, holders, {}, {}, Cause::no_tlbi, birth, {}, {}};
  node.live = true;
  node.next_place = head->second;
  head->second = index;
  std::uint32_t& page_head = by_page_.try_emplace(page_key(node.entry), none).first->second;
  node.next_page = page_head;
  page_head = index;
  ++context.count;
  ++live_;
  live_tables_ += node.entry.is_table();
  return {index, node.generation};
}

void StaleSet::unlink(Index& index, std::uint64_t key, std::uint32_t node, std::vector<Node>& nodes,
                      std::uint32_t Node::*next) {
  const auto head = index.find(key);
  if (head == index.end()) return;
  std::uint32_t* at = &head->second;
  while (*at != none && *at != node) at = &(nodes[*at].*next);
  if (*at == node) *at = nodes[node].*next;
  if (head->second == none) index.erase(head);
}

void StaleSet::drop(std::uint32_t index, End end) {
  Node& node = nodes_[index];
  if (dropped_) dropped_(node.entry, end);
  ByPlace& context = contexts_[context_key(node.entry.place, node.entry.kernel)];
  unlink(context.first, place_key(node.entry.place), index, nodes_, &Node::next_place);
  unlink(by_page_, page_key(node.entry), index, nodes_, &Node::next_page);
  --context.count;
  --live_;
  live_tables_ -= node.entry.is_table();
  node.live = false;
  ++node.generation;
  free_.push_back(index);
}

void StaleSet::make_current(const Place& place, bool kernel, PhysAddr slot, Descriptor value) {
  const auto context = contexts_.find(context_key(place, kernel));
  if (context == contexts_.end() || context->second.count == 0) return;
  const auto head = context->second.first.find(place_key(place));
  if (head == context->second.first.end()) return;
  for (std::uint32_t i = head->second; i != none; i = nodes_[i].next_place) {
    const StaleEntry& e = nodes_[i].entry;
    if (e.slot == slot && e.value == value && e.place == place) return drop(i, End::current);
  }
}

const StaleEntry* StaleSet::find(EntryId id) const {
  if (id.index >= nodes_.size()) return nullptr;
  const Node& node = nodes_[id.index];
  return node.live && node.generation == id.generation ? &node.entry : nullptr;
}

void StaleSet::visit_all(ByPlace& context, const std::function<void(std::uint32_t)>& fn) const {
  for (const auto& [key, head] : context.first)
    for (std::uint32_t i = head; i != none; i = nodes_[i].next_place) fn(i);
}

// A lookup for each place that the range may touch, or a look at all there is: whichever is less.
void StaleSet::visit_range(ByPlace& context, bool kernel, VirtRange range,
                           const std::function<void(std::uint32_t)>& fn) const {
  if (context.count == 0) return;
  const vmsa::Regime& r = regime(kernel);
  if (range.size() >> r.page_shift > context.first.size()) {
    visit_all(context, [&](std::uint32_t i) {
      const Place& p = nodes_[i].entry.place;
      if (range.overlaps({p.va, p.va + r.span(p.level)})) fn(i);
    });
    return;
  }
  for (Level level{-1}; level <= vmsa::page_level; level = level.next()) {
    const std::uint64_t span = r.span_shift(level) < 64 ? r.span(level) : 0;
    if (span == 0 || level < r.root_level()) continue;
    for (VirtAddr va = range.start.align_down(span);; va += span) {
      const auto head = context.first.find(place_key({level, va, 0}));
      for (std::uint32_t i = head == context.first.end() ? none : head->second; i != none;
           i = nodes_[i].next_place)
        fn(i);
      if (range.end - va <= span) break;
    }
  }
}

void StaleSet::for_each_table_above(const Place& place, bool kernel,
                                    const std::function<void(const StaleEntry&)>& fn) const {
  if (live_tables_ == 0) return;
  const auto context = contexts_.find(context_key(place, kernel));
  if (context == contexts_.end()) return;
  const vmsa::Regime& r = regime(kernel);
  for (Level level = r.root_level(); level < place.level; level = level.next()) {
    const auto head = context->second.first.find(place_key({level, place.va.align_down(r.span(level)), 0}));
    for (std::uint32_t i = head == context->second.first.end() ? none : head->second; i != none;
         i = nodes_[i].next_place)
      if (nodes_[i].entry.is_table() && nodes_[i].entry.place.context.asid == place.context.asid)
        fn(nodes_[i].entry);
  }
}

StaleSet::Taken StaleSet::tlbi(const Deed& deed, CpuSet all, const vmsa::Tlbi& op, const IsVisible& visible,
                               const GroupRefills& group_refills, const RefillsThrough& refills_through) {
  const CpuSet scope = op.op.broadcast ? all : CpuSet::one(deed.cpu);
  Taken taken;
  // Who goes on walking through a stale table entry after this operation, and why. Whoever has completed an
  // invalidation and lacks its own ISB alone walks through the entry no more.
  auto kept = [&](const StaleEntry& table) -> std::pair<CpuSet, Cause> {
    const Outcome outcome = shadow::outcome_of(regime(table.kernel), op, table);
    const CpuSet active = table.holders - table.unsynchronised;
    if (outcome != Outcome::doomed) return {active, shadow::cause_of(outcome)};
    if (!visible(table)) return {active, Cause::tlbi_before_clear};
    return {active - scope, Cause::scope};
  };
  auto judge = [&](std::uint32_t i) {
    Node& node = nodes_[i];
    StaleEntry& e = node.entry;
    const Outcome outcome = shadow::outcome_of(regime(e.kernel), op, e);
    if (outcome == Outcome::address) return;
    auto keep = [&](Cause why) {
      if (e.doomed.empty()) e.why_kept = why, e.tlbi = deed;
    };
    if (outcome != Outcome::doomed) return keep(shadow::cause_of(outcome));
    if (!visible(e)) return keep(Cause::tlbi_before_clear);
    if (group_refills(e)) return keep(Cause::contiguous);
    CpuSet reached = e.holders & scope;
    Cause why = Cause::no_tlbi;
    for_each_table_above(e.place, e.kernel, [&](const StaleEntry& table) {
      const auto [cpus, cause] = kept(table);
      if ((reached & cpus).empty() || !refills_through(table, e)) return;
      reached = reached - cpus;
      why = cause;
    });
    if (reached.empty()) return why == Cause::no_tlbi ? void() : keep(why);
    e.doomed = e.doomed | reached;
    e.why_kept = (e.holders - e.doomed).empty() ? Cause::no_dsb : Cause::scope;
    e.tlbi = deed;
    cpus_[deed.cpu].doomed.push_back({{i, node.generation}, reached, op.op.broadcast, deed, {}});
    taken.is_mixed |= taken.count++ > 0 && taken.stack != e.birth.stack;
    taken.stack = e.birth.stack;
  };
  const bool every_context =
      op.op.target == vmsa::TlbiTarget::all || op.op.target == vmsa::TlbiTarget::va_all;
  for (auto& [key, context] : contexts_) {
    const bool kernel = key == 0x10000u;
    if (context.count == 0) continue;
    if (!op.op.by_va()) {
      if (every_context || kernel || key == op.asid) visit_all(context, judge);
      continue;
    }
    // An address of the one half concerns no entry of the other.
    if ((op.va.value >> 63 != 0) != kernel) continue;
    if (every_context || kernel || key == op.asid)
      visit_range(context, kernel, vmsa::tlbi_range(regime(kernel), op), judge);
  }
  return taken;
}

void StaleSet::dsb(const Deed& deed, machine::Dsb kind) {
  PerCpu& c = cpus_[deed.cpu];
  if (c.doomed.empty() || kind == machine::Dsb::ishst || kind == machine::Dsb::nshst) return;
  std::erase_if(c.doomed, [&](Doomed& d) {
    if (!shadow::completes(kind, d.broadcast)) return false;
    if (d.tlbi.depth < deed.depth) {
      d.inner = deed;
      return false;
    }
    complete(d, deed);
    return true;
  });
}

void StaleSet::switched(unsigned cpu) {
  std::erase_if(cpus_[cpu].doomed, [&](const Doomed& d) {
    if (d.inner.event == 0) return false;
    complete(d, d.inner);
    return true;
  });
}

void StaleSet::complete(const Doomed& d, const Deed& dsb) {
  if (!find(d.id)) return;
  StaleEntry& e = nodes_[d.id.index].entry;
  if (!(d.cpus & (e.holders - e.unsynchronised)).empty()) e.tlbi = d.tlbi, e.dsb = dsb;
  // The issuer itself still needs a context synchronisation, for kernel entries (R_BLDZX).
  const CpuSet issuer = e.kernel ? d.cpus & CpuSet::one(dsb.cpu) & e.holders : CpuSet{};
  if (!issuer.empty()) {
    e.unsynchronised = e.unsynchronised | issuer;
    cpus_[dsb.cpu].unsynchronised.push_back(d.id);
  }
  e.holders = e.holders - (d.cpus - issuer);
  e.doomed = e.doomed & e.holders;
  e.unsynchronised = e.unsynchronised & e.holders;
  if (e.holders.empty()) {
    drop(d.id.index, End::invalidated);
  } else if ((e.holders - e.unsynchronised).empty()) {
    e.why_kept = Cause::no_isb;
  }
}

void StaleSet::isb(unsigned cpu) {
  PerCpu& c = cpus_[cpu];
  if (c.unsynchronised.empty()) return;
  const CpuSet self = CpuSet::one(cpu);
  for (const EntryId id : c.unsynchronised) {
    if (!find(id)) continue;
    StaleEntry& e = nodes_[id.index].entry;
    if (!e.unsynchronised.contains(cpu)) continue;
    e.unsynchronised = e.unsynchronised - self;
    e.holders = e.holders - self;
    e.doomed = e.doomed - self;
    if (e.holders.empty()) drop(id.index, End::invalidated);
  }
  c.unsynchronised.clear();
}

void StaleSet::for_each(const std::function<void(const StaleEntry&)>& fn) const {
  for (const Node& node : nodes_)
    if (node.live) fn(node.entry);
}

// A lookup for each page, or a look at all entries: whichever is less.
void StaleSet::for_each_output_in(PhysAddr start, std::uint64_t bytes, bool tables,
                                  const std::function<void(EntryId, const StaleEntry&)>& fn) const {
  if (bytes >> kernel_.page_shift > nodes_.size()) {
    for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
      const StaleEntry& e = nodes_[i].entry;
      if (!nodes_[i].live || e.is_table() != tables) continue;
      const PhysAddr output = vmsa::output_address(regime(e.kernel), e.place.level, e.value);
      const std::uint64_t span = tables ? kernel_.page_size() : regime(e.kernel).span(e.place.level);
      if (output < start + bytes && start < output + span) fn({i, nodes_[i].generation}, e);
    }
    return;
  }
  for (Level level{tables ? -1 : 1}; level < (tables ? vmsa::page_level : vmsa::page_level.next());
       level = level.next()) {
    const std::uint64_t span = tables ? kernel_.page_size() : kernel_.span(level);
    for (PhysAddr pa = start.align_down(span); pa < start + bytes; pa += span) {
      const auto head = by_page_.find(output_key(pa, level, tables));
      for (std::uint32_t i = head == by_page_.end() ? none : head->second; i != none; i = nodes_[i].next_page)
        fn({i, nodes_[i].generation}, nodes_[i].entry);
    }
  }
}

void StaleSet::for_each_leaf_into(PhysAddr start, std::uint64_t bytes,
                                  const std::function<void(EntryId, const StaleEntry&)>& fn) const {
  for_each_output_in(start, bytes, false, fn);
}

void StaleSet::for_each_table_in(PhysAddr start, std::uint64_t bytes,
                                 const std::function<void(EntryId, const StaleEntry&)>& fn) const {
  for_each_output_in(start, bytes, true, fn);
}

void StaleSet::for_each_at(const Place& place, bool kernel, std::uint64_t bytes,
                           const std::function<void(EntryId, const StaleEntry&)>& fn) const {
  const auto context = contexts_.find(context_key(place, kernel));
  if (context == contexts_.end()) return;
  visit_range(const_cast<ByPlace&>(context->second), kernel, {place.va, place.va + bytes},
              [&](std::uint32_t i) {
                fn({i, nodes_[i].generation}, nodes_[i].entry);
              });
}

}  // namespace shootdown::audit
