// SPDX-License-Identifier: MIT
#include "audit/judge/tables.hpp"

#include <algorithm>

#include "vmsa/layout.hpp"

namespace shootdown::audit {
namespace {
/// Tables nest five deep; a page that a buggy kernel links below itself must not send us round for ever.
constexpr unsigned depth_max = 6;

std::uint64_t mapping_key(PhysAddr output, Level level) {
  return output.value | static_cast<std::uint64_t>(level.value);
}
}  // namespace

Table& Tables::add(std::uint64_t address, Level level) {
  auto& table = by_page_[address];
  table = std::make_unique<Table>();
  table->page = address;
  table->level = level;
  table->words = std::make_unique<std::uint64_t[]>(word_count());
  const std::uint64_t page = address >> page_shift_ << page_shift_;
  if (page != address) {
    auto& roots = small_roots_[page];
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
    by_page_.erase(it);
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
  const std::uint64_t page = address >> page_shift_ << page_shift_;
  if (Table* table = find(page))
    return Slot{table, static_cast<unsigned>((address - page) / sizeof(Descriptor))};
  const auto roots = small_roots_.find(page);
  if (roots == small_roots_.end()) return std::nullopt;
  std::uint64_t best = 0;
  for (std::uint64_t root : roots->second)
    if (root <= address && root > best) best = root;
  Table* table = best != 0 ? find(best) : nullptr;
  if (!table) return std::nullopt;
  return Slot{table, static_cast<unsigned>((address - best) / sizeof(Descriptor))};
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
  if (table && (!table->placed || table->root != context.root || !same_regime))
    place(*table, context.kernel ? regime.base() : VirtAddr(0), context.root, true, 0);
}

void Tables::flushed(shadow::CpuSet cpus, const std::function<bool(const Context&, unsigned cpu)>& runs_on) {
  for (auto& [root, context] : contexts_) {
    for (unsigned cpu = 0; cpu < 64; ++cpu)
      if (cpus.contains(cpu) && context.users.contains(cpu) && !runs_on(context, cpu))
        context.users = context.users - shadow::CpuSet::one(cpu);
  }
}

const Context* Tables::context_of(const Table& table) const {
  if (!table.placed) return nullptr;
  const auto it = contexts_.find(table.root);
  return it == contexts_.end() ? nullptr : &it->second;
}

void Tables::place(Table& table, VirtAddr va, std::uint64_t root, bool placed, unsigned depth) {
  table.va = va;
  table.root = root;
  table.placed = placed;
  const auto context = contexts_.find(root);
  if (context == contexts_.end() || depth > depth_max) return;
  const vmsa::Regime& r = regime_of(context->second);
  for (unsigned i = 0; i < r.entry_count(table.level); ++i) {
    const Descriptor d{table.words[i]};
    if (placed && d.is_leaf(table.level)) map({&table, i}, d);
    if (!d.is_table(table.level)) continue;
    Table* below = find(vmsa::output_address(r, table.level, d).value);
    if (below && (placed || below->root == root))
      place(*below, va + i * r.span(table.level), root, placed, depth + 1);
  }
}

shadow::Place Tables::place_of(const Slot& slot, const Context& c) const {
  const vmsa::Regime& r = regime_of(c);
  return {slot.table->level, slot.table->va + slot.index * r.span(slot.table->level), {c.asid}};
}

void Tables::link(const Slot& slot, Descriptor d) {
  const Context* c = context_of(*slot.table);
  if (!c) return;
  Table* below = find(vmsa::output_address(regime_of(*c), slot.table->level, d).value);
  if (below) place(*below, place_of(slot, *c).va, c->root, true, 0);
}

void Tables::unlink(Level level, Descriptor d) {
  Table* below = find(vmsa::output_address(kernel_, level, d).value);
  if (below) place(*below, below->va, below->root, false, 0);
}

std::optional<shadow::Held> Tables::link_to(const Table& table) {
  const Context* c = context_of(table);
  if (!c || table.page == c->root) return std::nullopt;
  const vmsa::Regime& r = regime_of(*c);
  for (Table* above = find(c->root); above && above->level < table.level;) {
    const unsigned index = r.index(above->level, table.va);
    const Descriptor d{above->words[index]};
    if (!d.is_table(above->level)) return std::nullopt;
    const PhysAddr below = vmsa::output_address(r, above->level, d);
    if (above->level.next() == table.level) {
      if (below.value != table.page) return std::nullopt;
      return shadow::Held{place_of({above, index}, *c), PhysAddr(above->page + sizeof(Descriptor) * index),
                          d};
    }
    above = find(below.value);
  }
  return std::nullopt;
}

void Tables::map(const Slot& slot, Descriptor d) {
  const Context* c = context_of(*slot.table);
  if (!c) return;
  const VirtAddr va = place_of(slot, *c).va;
  if (c->kernel && vmsa::layout(kernel_, vmsa::LayoutAge::today).linear.contains(va)) return;
  mapped_at_[mapping_key(vmsa::output_address(regime_of(*c), slot.table->level, d), slot.table->level)] =
      slot.table->page + sizeof(Descriptor) * slot.index;
}

std::optional<shadow::Held> Tables::live_leaf(std::uint64_t address, Level level, PhysAddr output) const {
  const auto at = slot(address);
  const Context* c = at ? context_of(*at->table) : nullptr;
  if (!c || at->table->level != level) return std::nullopt;
  const Descriptor d{at->word()};
  if (!d.is_leaf(level) || vmsa::output_address(regime_of(*c), level, d) != output) return std::nullopt;
  return shadow::Held{place_of(*at, *c), PhysAddr(address), d};
}

// A lookup for each page and level, or a look at all mappings: whichever is less.
void Tables::for_each_mapping_of(PhysAddr start, std::uint64_t bytes,
                                 const std::function<void(const shadow::Held&)>& fn) const {
  if (bytes >> page_shift_ > mapped_at_.size()) {
    for (const auto& [key, at] : mapped_at_) {
      const Level level{static_cast<int>(key & 7)};
      const PhysAddr output(key & ~std::uint64_t{7});
      if (output >= start + bytes || start >= output + kernel_.span(level)) continue;
      if (const auto leaf = live_leaf(at, level, output)) fn(*leaf);
    }
    return;
  }
  for (Level level = vmsa::pud_level; level <= vmsa::page_level; level = level.next()) {
    const std::uint64_t span = kernel_.span(level);
    for (PhysAddr output = start.align_down(span); output < start + bytes; output += span) {
      const auto at = mapped_at_.find(mapping_key(output, level));
      const auto leaf = at == mapped_at_.end() ? std::nullopt : live_leaf(at->second, level, output);
      if (leaf) fn(*leaf);
    }
  }
}

std::optional<Tables::Leaf> Tables::translate(const Context& c, VirtAddr va) {
  const vmsa::Regime& r = regime_of(c);
  Table* table = find(c.root);
  while (table) {
    const Descriptor d{table->words[r.index(table->level, va)]};
    if (d.is_leaf(table->level))
      return Leaf{d, vmsa::output_address(r, table->level, d) + (va.value & (r.span(table->level) - 1))};
    if (!d.is_table(table->level)) return std::nullopt;
    table = find(vmsa::output_address(r, table->level, d).value);
  }
  return std::nullopt;
}

Descriptor Tables::read(PhysAddr slot) const {
  const auto at = this->slot(slot.value);
  return at ? Descriptor{at->word()} : Descriptor{};
}

void Tables::for_each_below(Level level, Descriptor d,
                            const std::function<void(const Slot&, Descriptor)>& fn) {
  if (!d.is_table(level)) return;
  Table* table = find(vmsa::output_address(kernel_, level, d).value);
  if (!table || table->level != level.next()) return;
  for (unsigned i = 0; i < word_count(); ++i) {
    const Descriptor below{table->words[i]};
    if (!below.valid()) continue;
    fn(Slot{table, i}, below);
    if (below.is_table(table->level)) for_each_below(table->level, below, fn);
  }
}

}  // namespace shootdown::audit
