// SPDX-License-Identifier: MIT
// The shadow: everything that CPUs may still hold and the current tables no longer say. Entries that equal the
// tables need no storage, so it is empty on a quiet machine of any size. Used by the model, which explores
// every choice out of it, and held against the audit's own store.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "shadow/memory.hpp"
#include "shadow/rules.hpp"

namespace shootdown::shadow {

/// An address space as CPUs may hold it. "Everything that is current here" has no entries of its own: it is one
/// pseudo-entry, held by `may_hold`. The kernel half is space 0, which every CPU walks at any time.
struct Space {
  PhysAddr root;
  std::uint16_t asid = 0;
  bool retired = false;  ///< nobody will run with this ASID again before its CPUs have flushed it (rule 23)
  CpuSet running;        ///< CPUs with it in TTBR0: they may walk at any time
  CpuSet leaving;        ///< of those, CPUs that have written another TTBR0 and lack the ISB
  CpuSet may_hold;       ///< CPUs that have run it since they last dropped all of it
  std::vector<Doom> dooms{};  ///< operations under way against all of it, on CPUs that do not run it; sorted

  friend bool operator==(const Space&, const Space&) = default;
};

/// The current value of a slot, as far as CPUs are concerned that left the space before it was written: they cannot
/// hold it.
struct Unseen {
  std::uint8_t space = 0;
  PhysAddr slot;
  CpuSet cpus;

  friend auto operator<=>(const Unseen&, const Unseen&) = default;
};

class Shadow {
 public:
  /// What the CPUs do that decides what is held.
  struct Hardware {
    bool access_flag = false;  ///< walks set access flags in leaves
    bool repeat_tlbi = false;  ///< erratum CVE-2025-10263
  };

  Shadow() = default;
  Shadow(const Regime& regime, unsigned cpu_count, PhysAddr kernel_root = {});

  void set_hardware(Hardware h) { hardware_ = h; }
  void set_kernel_root(PhysAddr root) { spaces_.front().root = root; }
  /// All the TLBIs that each CPU will ever issue; nothing is known unless they are said. Whether a DSB of a CPU has
  /// followed a change (`Entry::ordered`) matters where one of its operations may reach the entry, and is kept there
  /// alone. They must outlive the shadow's next operation.
  using Issued = std::vector<std::vector<vmsa::Tlbi>>;
  void set_issued(const Issued* by_cpu) { issued_ = by_cpu; }

  // ---- address spaces

  /// The space of a root with an ASID, new if there was none. The kernel half is not among them.
  std::uint8_t space_of(PhysAddr root, std::uint16_t asid);
  const std::vector<Space>& spaces() const { return spaces_; }
  Context context(std::uint8_t space) const { return {spaces_[space].asid, space}; }
  /// The root table of a space, as a walk begins with it.
  TableAt top(std::uint8_t space) const;
  /// TTBR0 of a CPU is written. Until its next context synchronisation both spaces may be walked.
  void install(unsigned cpu, std::uint8_t space);
  /// The ASID of a space is given up, or taken back.
  void retire(std::uint8_t space, bool retired);

  // ---- what happens

  /// A store has become visible in a slot of a table that is linked at `place`: what was cacheable before may
  /// now be held although it is gone. When a table is unlinked, so is everything below it; a leaf of a contiguous group
  /// covers the addresses of the whole group.
  void store_linked(const TableMemory& memory, const Place& place, PhysAddr slot, Descriptor old,
                    Descriptor now);

  /// The issuer of that store had gone on before it became visible: what a DSB, a local TLBI and its barriers have done
  /// for the old value on this CPU. Bits: 1 seen by its walker, 4 invalidated, 8 completed, 16 gone.
  void own_store_visible(const Place& place, PhysAddr slot, Descriptor old, unsigned cpu, unsigned view);

  /// A store has become visible in a page that is walked through stale table entries only: hardware may
  /// take whatever it looks like.
  void store_unlinked(const TableMemory& memory, PhysAddr slot, Descriptor now);

  /// A TLBI is issued: fixed now are the stale values that it covers (R_GPPYH), but for those whose change is not
  /// ordered before it, and for those that a CPU may refill afterwards: out of a valid member of their contiguous
  /// group, or through a stale table entry that this operation leaves where it is. `report`, when given, hears
  /// what it did to each entry, except for those at other addresses.
  using Report = FunctionRef<void(const Entry&, Outcome)>;
  void tlbi(const TableMemory& memory, unsigned cpu, const vmsa::Tlbi& op, Report report = {});

  /// A DSB completes this CPU's operations of its domain (`completes`) and orders what is stale by now before its later
  /// ones (`orders_before_tlbi`). The issuer itself still needs a context synchronisation (R_BLDZX).
  void dsb(unsigned cpu, machine::Dsb kind);

  /// A context synchronisation event: the CPU's own completed invalidations take effect on itself, and TTBR0 is what
  /// was last written to it.
  void isb(unsigned cpu);

  // ---- questions

  const Regime& regime() const { return regime_; }
  Hardware hardware() const { return hardware_; }
  CpuSet cpus() const { return cpus_; }
  bool empty() const;
  std::size_t size() const;

  /// CPUs for whom a release through this entry is harmful: user entries of the issuer count as gone at the DSB, as
  /// Linux frees their pages without an ISB; those of a retired ASID only where a CPU runs with that ASID.
  CpuSet harmful_holders(const Entry& e) const;

  /// All entries, by level from the root, then by address.
  template <typename Fn>
  void for_each(Fn&& fn) const {
    for (const auto& level : levels_)
      for (const Entry& e : level) fn(e);
  }
  /// The entries that overlap a range of addresses.
  void for_each_in(VirtRange range, FunctionRef<void(const Entry&)> fn) const;

  /// Tables that may be walked although they are not linked where the entry says: those below stale table
  /// entries, with the CPUs that may do so.
  using StaleTable = FunctionRef<void(const TableAt&, CpuSet holders, const Entry& through)>;
  void for_each_stale_table(const TableMemory& memory, StaleTable fn) const;

  // ---- state, for whoever stores it

  /// Every field that is state: `fn(entries of a level)`, `fn(spaces)`, `fn(unseen)`.
  template <typename Self, typename Fn>
  static void fields(Self& self, Fn&& fn) {
    for (auto& level : self.levels_) fn(level);
    fn(self.spaces_);
    fn(self.unseen_);
  }
  friend bool operator==(const Shadow& a, const Shadow& b) {
    return a.levels_ == b.levels_ && a.spaces_ == b.spaces_ && a.unseen_ == b.unseen_;
  }
  /// Call after fields were written from outside.
  void restored();

  /// False only when nothing has changed since `mark_unchanged`.
  bool changed() const { return changed_; }
  void mark_unchanged() { changed_ = false; }

 private:
  using Entries = std::vector<Entry>;

  Entries& at(Level level) { return levels_[static_cast<std::size_t>(level.value + 1)]; }
  Entry* find(const Place& place, PhysAddr slot, Descriptor value);
  void insert(Entry e);
  /// Who may hold what is current in a slot.
  CpuSet current_holders(std::uint8_t space, PhysAddr slot) const;
  void make_stale(const Place& place, PhysAddr slot, Descriptor value, CpuSet holders);
  void make_current(const Place& place, PhysAddr slot, Descriptor value);
  void group_goes_stale(const TableMemory& memory, const Place& place, PhysAddr slot, Descriptor old);
  void set_unseen(std::uint8_t space, PhysAddr slot, CpuSet cpus);
  /// A stale table entry that an operation leaves to some CPUs, and why.
  struct Kept {
    Place place;
    Descriptor value;
    CpuSet holders;
    Outcome outcome;
  };
  std::vector<Kept> kept_tables(unsigned cpu, const vmsa::Tlbi& op) const;
  Outcome outcome(const Entry& e, unsigned cpu, const vmsa::Tlbi& op) const;
  void doom(std::vector<Doom>& dooms, unsigned cpu, const vmsa::Tlbi& op, CpuSet cpus);
  void doom_spaces(unsigned cpu, const vmsa::Tlbi& op);
  bool may_be_reached(const Entry& e, unsigned cpu) const;
  void complete(Entry& e, unsigned cpu, machine::Dsb kind);
  template <typename Fn>
  void visit(VirtRange range, Fn&& fn);
  void drop_unheld();

  Regime regime_;
  CpuSet cpus_;
  const Issued* issued_ = nullptr;
  Hardware hardware_;
  std::array<Entries, 5> levels_;  ///< by level, sorted by (place, slot, value)
  std::vector<Space> spaces_{Space{}};
  std::vector<Unseen> unseen_;  ///< sorted
  std::uint64_t issuers_ = 0;   ///< CPUs that may have outstanding operations or a missing ISB: derived
  bool changed_ = false;
};

}  // namespace shootdown::shadow
