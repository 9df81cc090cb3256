// SPDX-License-Identifier: MIT
// What each CPU may still hold although the tables no longer say it, for a whole kernel: the obligations are
// those of shadow/ (entry.hpp, rules.hpp), the storage is indexed by
// context, address and page, so that hundreds of thousands of entries and millions of operations cost little.
// tests/audit holds it against shadow::Shadow, operation by operation.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <functional>
#include <vector>

#include "shadow/rules.hpp"

namespace shootdown::audit {

using shadow::CpuSet;
using shadow::Place;
using vmsa::Descriptor;
using vmsa::PhysAddr;

/// When, by whom and over what a value went stale.
struct Birth {
  std::uint64_t event = 0;
  std::uint64_t time_us = 0;
  std::uint64_t instead = 0;  ///< the new value of the slot
  std::uint32_t stack = 0;
  std::uint32_t thread = 0;  ///< in Threads
  std::uint8_t cpu = 0;
  std::uint8_t depth = 0;  ///< exceptions that the CPU was in
  std::uint64_t episode =
      0;  ///< the event at which the thread last came from user code: one system call or fault
};

/// A TLBI or DSB, by the event that recorded it; event 0 where there was none.
struct Deed {
  std::uint64_t event = 0;
  std::uint32_t stack = 0;
  std::uint8_t cpu = 0;
  std::uint8_t op = 0;     ///< as in the event
  std::uint8_t depth = 0;  ///< exceptions that the CPU was in
};

struct StaleEntry : shadow::Held {
  bool kernel = false;
  CpuSet holders;
  CpuSet unsynchronised;
  CpuSet doomed;  ///< holders that some outstanding operation will take it from
  shadow::Cause why_kept = shadow::Cause::no_tlbi;  ///< the best that was done about it so far
  Birth birth;
  Deed tlbi;  ///< the last that named it; in the end, the one that took it
  Deed dsb;   ///< that completed it
};

/// Names an entry for as long as it lives.
struct EntryId {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  friend bool operator==(EntryId, EntryId) = default;
};
inline constexpr EntryId no_entry{~std::uint32_t{0}, 0};

class StaleSet {
 public:
  /// Is the store that made an entry stale visible to walkers, as far as `cpu`'s operation is concerned?
  using IsVisible = std::function<bool(const StaleEntry&)>;
  /// Does a member of the contiguous group that the entry came from refill it, out of the current tables?
  using GroupRefills = std::function<bool(const StaleEntry&)>;
  /// May a walk through the first, a stale table entry, bring the second back? It does while the table that the entry
  /// came from still says so.
  using RefillsThrough = std::function<bool(const StaleEntry& table, const StaleEntry& entry)>;
  /// How an entry's life ends: invalidated (or taken by its last holder's ISB), or as what the tables say again.
  enum class End : std::uint8_t { invalidated, current };
  using OnDropped = std::function<void(const StaleEntry&, End)>;

  StaleSet(const vmsa::Regime& kernel, const vmsa::Regime& user) : kernel_(kernel), user_(user) {}
  void set_regimes(const vmsa::Regime& kernel, const vmsa::Regime& user) { kernel_ = kernel, user_ = user; }
  void on_dropped(OnDropped fn) { dropped_ = std::move(fn); }

  /// A value that these CPUs may hold (one whose access flag is clear: those that set it) is no longer what the tables
  /// say. Held afresh if it was stale before.
  EntryId add(const Place& place, bool kernel, PhysAddr slot, Descriptor value, CpuSet holders,
              const Birth& birth);
  /// The tables say it again.
  void make_current(const Place& place, bool kernel, PhysAddr slot, Descriptor value);

  /// Entries that an operation takes from CPUs that held them, and who had made them stale.
  struct Taken {
    std::size_t count = 0;
    std::uint32_t stack = 0;
    bool is_mixed = false;  ///< not all by this stack
  };
  Taken tlbi(const Deed& deed, CpuSet all, const vmsa::Tlbi& op, const IsVisible& visible,
             const GroupRefills& group_refills, const RefillsThrough& refills_through);
  /// Completes what the issuer has outstanding. A barrier inside an exception handler does so by chance as far as
  /// the interrupted code is concerned: it counts for that once the thread is switched away (switched()), because a
  /// thread may rely on the barrier of the switch.
  void dsb(const Deed& deed, machine::Dsb kind);
  void switched(unsigned cpu);
  void isb(unsigned cpu);

  const StaleEntry* find(EntryId id) const;
  std::size_t size() const { return live_; }
  void for_each(const std::function<void(const StaleEntry&)>& fn) const;

  /// Leaves that translate to any byte of [start, start + bytes), and tables that lie in it.
  void for_each_leaf_into(PhysAddr start, std::uint64_t bytes,
                          const std::function<void(EntryId, const StaleEntry&)>& fn) const;
  void for_each_table_in(PhysAddr start, std::uint64_t bytes,
                         const std::function<void(EntryId, const StaleEntry&)>& fn) const;
  /// Entries of a context whose addresses overlap.
  void for_each_at(const Place& place, bool kernel, std::uint64_t bytes,
                   const std::function<void(EntryId, const StaleEntry&)>& fn) const;

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};
  struct Node {
    StaleEntry entry;
    std::uint32_t generation = 0;
    bool live = false;
    std::uint32_t next_place = none;  ///< the next of the same place
    std::uint32_t next_page = none;   ///< the next of the same output
  };
  struct Doomed {
    EntryId id;
    CpuSet cpus;
    bool broadcast;
    Deed tlbi;
    Deed inner;  ///< a barrier in an exception handler that would complete it
  };
  struct PerCpu {
    std::vector<Doomed> doomed;
    std::vector<EntryId> unsynchronised;
  };
  using Index = boost::unordered_flat_map<std::uint64_t, std::uint32_t>;
  /// The kernel half is one context; a user's is its ASID's.
  struct ByPlace {
    Index first;
    std::size_t count = 0;
  };

  const vmsa::Regime& regime(bool kernel) const { return kernel ? kernel_ : user_; }
  static std::uint32_t context_key(const Place& place, bool kernel) {
    return kernel ? 0x10000u : place.context.asid;
  }
  static std::uint64_t place_key(const Place& place) {
    return place.va.value | static_cast<std::uint64_t>(place.level.value + 2);
  }
  std::uint64_t page_key(const StaleEntry& e) const;
  void visit_range(ByPlace& context, bool kernel, vmsa::VirtRange range,
                   const std::function<void(std::uint32_t)>& fn) const;
  /// Calls fn for the stale table entries above a place, from the root down.
  void for_each_table_above(const Place& place, bool kernel,
                            const std::function<void(const StaleEntry&)>& fn) const;
  void visit_all(ByPlace& context, const std::function<void(std::uint32_t)>& fn) const;
  void for_each_output_in(PhysAddr start, std::uint64_t bytes, bool tables,
                          const std::function<void(EntryId, const StaleEntry&)>& fn) const;
  void complete(const Doomed& d, const Deed& dsb);
  void drop(std::uint32_t index, End end);
  static void unlink(Index& index, std::uint64_t key, std::uint32_t node, std::vector<Node>& nodes,
                     std::uint32_t Node::*next);

  vmsa::Regime kernel_;
  vmsa::Regime user_;
  OnDropped dropped_;
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> free_;
  std::size_t live_ = 0;
  std::size_t live_tables_ = 0;
  boost::unordered_flat_map<std::uint32_t, ByPlace> contexts_;
  Index by_page_;  ///< leaves and tables, by output address and level
  std::vector<PerCpu> cpus_{64};
};

}  // namespace shootdown::audit
