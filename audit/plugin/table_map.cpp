// SPDX-License-Identifier: MIT
#include "audit/plugin/table_map.hpp"

#include <algorithm>

namespace shootdown::audit::plugin {

using vmsa::Descriptor;
using vmsa::Level;

void TableMap::ensure_size(unsigned page_shift) {
  if (!kinds_.empty()) return;
  page_shift_ = page_shift;
  kinds_.resize(ram_.bytes() >> page_shift);
}

void TableMap::add_root(const vmsa::Regime& regime, std::uint64_t root, unsigned cpu) {
  ensure_size(regime.page_shift);
  if (!ram_.contains(root) || !is_usable(regime)) return;
  regime_ = regime;
  const Level level = regime.root_level();
  const std::uint64_t bytes = std::uint64_t{regime.entry_count(level)} * sizeof(Descriptor);
  std::uint8_t& kind = kinds_[(root - ram_.start()) >> page_shift_];
  if (bytes == regime.page_size()) {
    if (kind == static_cast<std::uint8_t>(level.value + 2)) return;
    kind = static_cast<std::uint8_t>(level.value + 2);
  } else {
    if (kind != 0 && kind != holds_small_roots)
      return;  // a whole table page that also serves as a short root
    kind = holds_small_roots;
    if (!small_roots_.emplace(root, SmallRoot{bytes, level}).second) return;
  }
  record_table(root, bytes, level, true, cpu);
}

void TableMap::add_table(std::uint64_t page, Level level, unsigned cpu) {
  if (!ram_.contains(page)) return;
  std::uint8_t& kind = kinds_[(page - ram_.start()) >> page_shift_];
  if (kind == static_cast<std::uint8_t>(level.value + 2)) return;
  kind = static_cast<std::uint8_t>(level.value + 2);
  record_table(page, regime_.page_size(), level, false, cpu);
}

// All slots first, then the tables below: a reader sees each table whole before anything refers into it.
void TableMap::record_table(std::uint64_t start, std::uint64_t bytes, Level level, bool root, unsigned cpu) {
  auto put = [&](EventKind kind, std::uint64_t a, std::uint64_t b) {
    pipe_.put({.kind = kind,
               .cpu = static_cast<std::uint8_t>(cpu),
               .op = kind == EventKind::table ? static_cast<std::uint8_t>(level.value + 1) : std::uint8_t{0},
               .a = a,
               .b = b});
  };
  put(EventKind::table, start, root ? bytes : 0);
  std::vector<std::uint64_t> children;
  for (std::uint64_t slot = start; slot < start + bytes; slot += sizeof(Descriptor)) {
    const Descriptor d{ram_.word(slot)};
    if (d.bits == 0) continue;
    put(EventKind::content, slot, d.bits);
    if (d.is_table(level)) children.push_back(vmsa::output_address(regime_, level, d).value);
  }
  for (std::uint64_t child : children) add_table(child, level.next(), cpu);
}

bool TableMap::level_at(std::uint64_t slot, Level& level) const {
  const std::uint8_t kind = kinds_[(slot - ram_.start()) >> page_shift_];
  if (kind == 0) return false;
  if (kind != holds_small_roots) {
    level = Level{kind - 2};
    return true;
  }
  auto next = small_roots_.upper_bound(slot);
  if (next == small_roots_.begin()) return false;
  const auto& [start, root] = *std::prev(next);
  level = root.level;
  return slot < start + root.bytes;
}

void TableMap::record_slot(std::uint64_t slot, std::uint64_t value, unsigned cpu, std::uint32_t stack) {
  Level level;
  if (!level_at(slot, level)) return;
  const Descriptor d{value};
  // The new table first, so that its content is known when it becomes reachable.
  if (d.is_table(level)) add_table(vmsa::output_address(regime_, level, d).value, level.next(), cpu);
  pipe_.put({.kind = EventKind::store,
             .cpu = static_cast<std::uint8_t>(cpu),
             .op = 0,
             .stack = stack,
             .a = slot,
             .b = value});
}

void TableMap::stored(std::uint64_t pa, unsigned bytes, unsigned cpu, std::uint32_t stack) {
  // What memory holds is recorded, not what the instruction offered: a compare-and-swap may have failed.
  for (std::uint64_t slot = pa & ~std::uint64_t{7}; slot < pa + bytes; slot += sizeof(Descriptor))
    if (ram_.contains(slot)) record_slot(slot, ram_.word(slot), cpu, stack);
}

void TableMap::released(std::uint64_t pa, std::uint64_t bytes) {
  if (kinds_.empty() || !ram_.contains(pa)) return;
  const std::uint64_t first = (pa - ram_.start()) >> page_shift_;
  const std::uint64_t last =
      std::min<std::uint64_t>((pa + bytes - 1 - ram_.start()) >> page_shift_, kinds_.size() - 1);
  if (bytes < std::uint64_t{1} << page_shift_) {
    small_roots_.erase(pa);
    return;
  }
  for (std::uint64_t page = first; page <= last; ++page) {
    if (kinds_[page] == holds_small_roots)
      small_roots_.erase(small_roots_.lower_bound(ram_.start() + (page << page_shift_)),
                         small_roots_.lower_bound(ram_.start() + ((page + 1) << page_shift_)));
    kinds_[page] = 0;
  }
}

}  // namespace shootdown::audit::plugin
