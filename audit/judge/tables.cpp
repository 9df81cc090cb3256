// SPDX-License-Identifier: MIT
#include "audit/judge/tables.hpp"

#include <algorithm>

#include "vmsa/layout.hpp"

namespace shootdown::audit {
namespace {
/// Tables nest five deep; a page that a buggy kernel links below itself must not send us round for ever.
constexpr unsigned depth_max = 6;
/// A table that stands in more places (KASAN's zero shadow) is followed in the first ones.
constexpr std::size_t places_max = 64;

std::uint64_t mapping_key(PhysAddr output, Level level) {
  return output.value | static_cast<std::uint64_t>(level.value);
}
}  // namespace

Table& Tables::add(std::uint64_t address, std::uint64_t bytes, Level level) {
  auto& table = by_page_[address];
  table = std::make_unique<Table>();
  table->page = address;
  table->bytes = bytes;
  table->level = level;
  table->words = std::make_unique<std::uint64_t[]>(word_count());
  const std::uint64_t page_bytes = std::uint64_t{1} << page_shift_;
  if (bytes < page_bytes) {
    auto& roots = small_roots_[address & ~(page_bytes - 1)];
    if (std::ranges::find(roots, address) == roots.end()) roots.push_back(address);
  }
  return *table;
}

void Tables::remove(std::uint64_t address, std::uint64_t bytes,
                    const std::function<void(const Table&)>& removed) {
  auto drop = [&](std::uint64_t a) {
    const auto it = by_page_.find(a);
    if (it == by_page_.end()) return;
    removed(*it->second);
    const auto table = std::move(it->second);
    by_page_.erase(it);
    for (const Placement& at : table->places) place_below(*table, at, false, 0);
  };
  const std::uint64_t page_bytes = std::uint64_t{1} << page_shift_;
  if (bytes < page_bytes) {
    drop(address);
    if (auto it = small_roots_.find(address >> page_shift_ << page_shift_); it != small_roots_.end())
      std::erase(it->second, address);
    return;
  }
  std::vector<std::uint64_t> pages;
  if (bytes >> page_shift_ > by_page_.size()) {
    for (const auto& [at, table] : by_page_)
      if (at - address < bytes) pages.push_back(at >> page_shift_ << page_shift_);
  } else {
    for (std::uint64_t page = address; page < address + bytes; page += page_bytes) pages.push_back(page);
  }
  for (std::uint64_t page : pages) {
    drop(page);
    const auto it = small_roots_.find(page);
    if (it == small_roots_.end()) continue;
    for (std::uint64_t root : it->second) drop(root);
    small_roots_.erase(it);
  }
}

Table* Tables::find(std::uint64_t address) const {
  const auto it = by_page_.find(address);
  return it == by_page_.end() ? nullptr : it->second.get();
}

std::optional<Slot> Tables::slot(std::uint64_t address) const {
  const auto slot_in = [&](std::uint64_t start) -> std::optional<Slot> {
    Table* table = find(start);
    if (!table || address < start || address - start >= table->bytes) return std::nullopt;
    return Slot{table, static_cast<unsigned>((address - start) / sizeof(Descriptor))};
  };
  const std::uint64_t page = address >> page_shift_ << page_shift_;
  if (auto whole = slot_in(page)) return whole;
  const auto roots = small_roots_.find(page);
  if (roots == small_roots_.end()) return std::nullopt;
  for (std::uint64_t root : roots->second)
    if (auto small = slot_in(root)) return small;
  return std::nullopt;
}

void Tables::use_root(const vmsa::Regime& regime, const Context& context, unsigned cpu) {
  vmsa::Regime& current = context.kernel ? kernel_ : user_;
  const bool same_regime = current == regime;
  current = regime;
  Context& known = contexts_[context.root];
  const shadow::CpuSet users = known.users | shadow::CpuSet::one(cpu);
  known = context;
  known.users = users;
  Table* table = find(context.root);
  const Placement at{context.root, context.kernel ? regime.base() : VirtAddr(0)};
  if (table && (std::ranges::find(table->places, at) == table->places.end() || !same_regime))
    place(*table, at, true, 0);
}

void Tables::flushed(shadow::CpuSet cpus, const std::function<bool(const Context&, unsigned cpu)>& runs_on) {
  for (auto& [root, context] : contexts_) {
    for (unsigned cpu = 0; cpu < 64; ++cpu)
      if (cpus.contains(cpu) && context.users.contains(cpu) && !runs_on(context, cpu))
        context.users = context.users - shadow::CpuSet::one(cpu);
  }
}

const Context* Tables::context_of(const Table& table, bool kernel, std::uint16_t asid) const {
  const Context* best = nullptr;
  for_each_place(table, [&](const Context& c, VirtAddr) {
    if (c.kernel == kernel && (!best || c.asid == asid)) best = &c;
  });
  return best;
}

const Context* Tables::context_of_root(const Table& table) const {
  const auto it = table.placed() ? contexts_.find(table.page) : contexts_.end();
  return it == contexts_.end() ? nullptr : &it->second;
}

Table* Tables::below(const vmsa::Regime& r, Level level, Descriptor d) const {
  if (!d.is_table(level)) return nullptr;
  Table* table = find(vmsa::output_address(r, level, d).value);
  return table && table->level == level.next() ? table : nullptr;
}

// What stands below a table stands wherever it does: a place that is known already is known with all below it.
void Tables::place(Table& table, const Placement& at, bool placed, unsigned depth) {
  if (depth > depth_max) return;
  const auto known = std::ranges::find(table.places, at);
  if (!placed) {
    if (known == table.places.end()) return;
    table.places.erase(known);
  } else if (known == table.places.end()) {
    if (table.places.size() == places_max) return;
    table.places.push_back(at);
    table.shared |= table.places.size() > 1;
  } else if (depth > 0) {
    return;
  }
  place_below(table, at, placed, depth);
}

void Tables::place_below(const Table& table, const Placement& at, bool placed, unsigned depth) {
  const auto context = contexts_.find(at.root);
  if (context == contexts_.end()) return;
  const Context& c = context->second;
  const vmsa::Regime& r = regime_of(c);
  const auto count = std::min<std::uint64_t>(r.entry_count(table.level), table.bytes / sizeof(Descriptor));
  for (unsigned i = 0; i < count; ++i) {
    const Descriptor d{table.words[i]};
    if (!d.valid()) continue;
    const VirtAddr va = at.va + i * r.span(table.level);
    if (placed && d.is_leaf(table.level))
      map({const_cast<Table*>(&table), i}, c, {table.level, va, {c.asid}}, d);
    if (Table* next = below(r, table.level, d)) place(*next, {at.root, va}, placed, depth + 1);
  }
}

shadow::Place Tables::place_of(const Slot& slot, const Context& c, VirtAddr va) const {
  return {slot.table->level, va + slot.index * regime_of(c).span(slot.table->level), {c.asid}};
}

void Tables::set_linked(const Context& c, const shadow::Place& at, Descriptor d, bool linked) {
  if (Table* table = below(regime_of(c), at.level, d)) place(*table, {c.root, at.va}, linked, 1);
}

std::optional<shadow::Held> Tables::link_to(const Table& table, const Context& c, VirtAddr va) const {
  if (table.page == c.root) return std::nullopt;
  const vmsa::Regime& r = regime_of(c);
  for (Table* above = find(c.root); above && above->level < table.level;) {
    const unsigned index = r.index(above->level, va);
    const Descriptor d{above->words[index]};
    Table* next = below(r, above->level, d);
    if (next == &table)
      return shadow::Held{{above->level, va.align_down(r.span(above->level)), {c.asid}},
                          PhysAddr(above->page + sizeof(Descriptor) * index),
                          d};
    above = next;
  }
  return std::nullopt;
}

void Tables::map(const Slot& slot, const Context& c, const shadow::Place& at, Descriptor d) {
  if (c.kernel && vmsa::layout(kernel_, vmsa::LayoutAge::today).linear.contains(at.va)) return;
  mapped_at_[mapping_key(vmsa::output_address(regime_of(c), at.level, d), at.level)] =
      slot.table->page + sizeof(Descriptor) * slot.index;
}

void Tables::for_each_live_leaf(std::uint64_t address, Level level, PhysAddr output,
                                const OnMapping& fn) const {
  const auto at = slot(address);
  if (!at || at->table->level != level) return;
  const Descriptor d{at->word()};
  for_each_place(*at->table, [&](const Context& c, VirtAddr va) {
    if (d.is_leaf(level) && vmsa::output_address(regime_of(c), level, d) == output)
      fn(shadow::Held{place_of(*at, c, va), PhysAddr(address), d}, c);
  });
}

// A lookup for each page and level, or a look at all mappings: whichever is less.
void Tables::for_each_mapping_of(PhysAddr start, std::uint64_t bytes, const OnMapping& fn) const {
  if (bytes >> page_shift_ > mapped_at_.size()) {
    for (const auto& [key, at] : mapped_at_) {
      const Level level{static_cast<int>(key & 7)};
      const PhysAddr output(key & ~std::uint64_t{7});
      if (output < start + bytes && start < output + kernel_.span(level))
        for_each_live_leaf(at, level, output, fn);
    }
    return;
  }
  for (Level level = vmsa::pud_level; level <= vmsa::page_level; level = level.next()) {
    const std::uint64_t span = kernel_.span(level);
    for (PhysAddr output = start.align_down(span); output < start + bytes; output += span) {
      const auto at = mapped_at_.find(mapping_key(output, level));
      if (at != mapped_at_.end()) for_each_live_leaf(at->second, level, output, fn);
    }
  }
}

std::optional<Tables::Leaf> Tables::translate(const Context& c, VirtAddr va) const {
  const vmsa::Regime& r = regime_of(c);
  for (const Table* table = find(c.root); table;) {
    const Descriptor d{table->words[r.index(table->level, va)]};
    if (d.is_leaf(table->level))
      return Leaf{d, vmsa::output_address(r, table->level, d) + (va.value & (r.span(table->level) - 1))};
    table = below(r, table->level, d);
  }
  return std::nullopt;
}

Descriptor Tables::read(PhysAddr slot) const {
  const auto at = this->slot(slot.value);
  return at ? Descriptor{at->word()} : Descriptor{};
}

void Tables::for_each_below(const shadow::Place& at, Descriptor d, const OnBelow& fn) const {
  const vmsa::Regime& r = kernel_;  // both halves have one page size
  const Table* table = below(r, at.level, d);
  if (!table) return;
  for (unsigned i = 0; i < word_count(); ++i) {
    const Descriptor word{table->words[i]};
    if (!word.valid()) continue;
    const shadow::Place place{table->level, at.va + i * r.span(table->level), at.context};
    fn(place, PhysAddr(table->page + sizeof(Descriptor) * i), word);
    for_each_below(place, word, fn);
  }
}

}  // namespace shootdown::audit
