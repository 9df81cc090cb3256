// SPDX-License-Identifier: MIT
// What the shadow needs to see of memory: table words as every walker sees them (drained stores only).
#pragma once

#include <optional>

#include "shadow/entry.hpp"
#include "shadow/function_ref.hpp"

namespace shootdown::shadow {

class TableMemory {
 public:
  virtual ~TableMemory() = default;
  virtual Descriptor read(PhysAddr slot) const = 0;
  /// Calls `fn(index, word)` for each word of the page that has its valid bit set, in order; at least the
  /// first `count` words are looked at.
  virtual void for_each_valid(PhysAddr page, unsigned count,
                              FunctionRef<void(unsigned, Descriptor)> fn) const = 0;
};

/// The table page at `page` as a walk sees it: entries at `level`, the first of which translates `va`.
struct TableAt {
  PhysAddr page;
  Level level;
  VirtAddr va;
};

/// The table that a table descriptor at `place` points to.
inline TableAt table_of(const Regime& r, const Place& place, Descriptor d) {
  return {vmsa::output_address(r, place.level, d), place.level.next(), place.va};
}

/// The page of the table at `level` that a walk for `va` meets below `table`; nothing when it ends before.
/// `memory.read(slot)` is the word as walkers see it.
template <typename Memory>
std::optional<PhysAddr> table_on_walk(const Regime& r, const Memory& memory, TableAt table, VirtAddr va,
                                      Level level) {
  for (; table.level < level; table.level = table.level.next()) {
    const Descriptor d = memory.read(vmsa::slot_address(r, table.page, table.level, va));
    if (!d.is_table(table.level)) return std::nullopt;
    table.page = vmsa::output_address(r, table.level, d);
  }
  return table.level == level ? std::optional(table.page) : std::nullopt;
}

/// Calls `fn(place, slot, word)` for each valid word of the table and, depth first, of every table below it.
template <typename Fn>
void for_each_below(const Regime& r, const TableMemory& memory, const TableAt& table, Context context,
                    Fn&& fn) {
  if (table.level > vmsa::page_level) return;
  memory.for_each_valid(table.page, r.entry_count(table.level), [&](unsigned i, Descriptor d) {
    const Place place{table.level, table.va + i * r.span(table.level), context};
    fn(place, table.page + i * sizeof(Descriptor), d);
    if (d.is_table(table.level)) for_each_below(r, memory, table_of(r, place, d), context, fn);
  });
}

}  // namespace shootdown::shadow
