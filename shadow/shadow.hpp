// SPDX-License-Identifier: MIT
// The shadow: everything that CPUs may still hold and the current tables no longer say. Entries that equal the
// tables need no storage, so it is empty on a quiet machine of any size. Used by the model, which explores
// every choice out of it, and by the audit, which follows a real kernel.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <vector>

#include "shadow/memory.hpp"
#include "shadow/rules.hpp"

namespace shootdown::shadow {

class Shadow {
 public:
  Shadow() = default;
  Shadow(const Regime& regime, unsigned cpu_count) : regime_(regime), cpus_(CpuSet::first(cpu_count)) {}

  /// A store has become visible in a slot of a table that is linked at `place`: what was cacheable before may
  /// now be held although it is gone. When a table is unlinked, so is everything below it.
  void store_linked(const TableMemory& memory, const Place& place, PhysAddr slot, Descriptor old,
                    Descriptor now);

  /// A store has become visible in a page that may be walked through stale table entries only: hardware may
  /// take whatever it looks like.
  void store_unlinked(const TableMemory& memory, PhysAddr slot, Descriptor now);

  /// A TLBI is issued: fixed now are the stale values that it covers (R_GPPYH), but for those that a CPU may
  /// refill afterwards: out of a valid member of their contiguous group, or through a stale table entry that
  /// this operation leaves where it is. `root` is the root of the current tables. `report`, when given, hears
  /// what it did to each entry, except for those at other addresses.
  using Report = std::function<void(const Entry&, Outcome)>;
  void tlbi(const TableMemory& memory, PhysAddr root, unsigned cpu, const vmsa::Tlbi& op,
            const Report& report = {});

  /// A DSB completes this CPU's operations of its domain (`completes`). For kernel entries the issuer itself still needs a context
  /// synchronisation (R_BLDZX); user entries count as gone, as Linux frees their pages without one.
  void dsb(unsigned cpu, machine::Dsb kind);

  /// A context synchronisation event: the CPU's own completed invalidations take effect on itself.
  void isb(unsigned cpu);

  const Regime& regime() const { return regime_; }
  CpuSet cpus() const { return cpus_; }
  bool empty() const;
  std::size_t size() const;

  /// All entries, by level from the root, then by address.
  template <typename Fn>
  void for_each(Fn&& fn) const {
    for (const auto& level : levels_)
      for (const Entry& e : level) fn(e);
  }
  /// The entries that overlap a range of addresses.
  void for_each_in(VirtRange range, const std::function<void(const Entry&)>& fn) const;

  /// Tables that may be walked although they are not linked where the entry says: those below stale table
  /// entries, with the CPUs that may do so.
  using StaleTable = std::function<void(const TableAt&, CpuSet holders, const Entry& through)>;
  void for_each_stale_table(const TableMemory& memory, const StaleTable& fn) const;

  /// Rebuilds a shadow from entries (in the order of `for_each`).
  void insert(Entry e);
  void clear();

  /// False only when nothing has changed since `mark_unchanged`.
  bool changed() const { return changed_; }
  void mark_unchanged() { changed_ = false; }

 private:
  using Entries = std::vector<Entry>;

  Entries& at(Level level) { return levels_[static_cast<std::size_t>(level.value + 1)]; }
  Entry* find(const Place& place, PhysAddr slot, Descriptor value);
  void make_stale(const Place& place, PhysAddr slot, Descriptor value, CpuSet holders);
  void make_current(const Place& place, PhysAddr slot, Descriptor value);
  /// A stale table entry that an operation leaves to some CPUs, and why.
  struct Kept {
    Place place;
    Descriptor value;
    CpuSet holders;
    Outcome outcome;
  };
  std::vector<Kept> kept_tables(unsigned cpu, const vmsa::Tlbi& op) const;
  void doom(Entry& e, unsigned cpu, const vmsa::Tlbi& op, CpuSet cpus);
  template <typename Fn>
  void visit(VirtRange range, Fn&& fn);
  void drop_unheld();

  Regime regime_;
  CpuSet cpus_;
  std::array<Entries, 5> levels_;  ///< by level, sorted by (place, slot, value)
  std::uint64_t issuers_ = 0;      ///< CPUs that may have outstanding operations or a missing ISB
  bool changed_ = false;
};

}  // namespace shootdown::shadow
