// SPDX-License-Identifier: MIT
// The guest's translation tables as the events tell them: every table's words, and where it stands (level,
// address, whose). Says what is; what a CPU may still hold of what was is stale_set.hpp's.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "shadow/entry.hpp"
#include "vmsa/descriptor.hpp"

namespace shootdown::audit {

using vmsa::Descriptor;
using vmsa::Level;
using vmsa::PhysAddr;
using vmsa::VirtAddr;

/// Whose translations these are: a user root with its ASID, or the kernel half. Walk-cache entries of the
/// kernel half belong to whichever ASID ran when they were made: none in particular, so no ASID form removes
/// all of them.
struct Context {
  std::uint64_t root = 0;
  std::uint16_t asid = 0;
  bool kernel = false;
  /// CPUs that may hold anything of it: those that have run with this root and not flushed everything since.
  shadow::CpuSet users{};
};
inline constexpr std::uint16_t any_asid = 0xffff;

/// Where a table stands: below which root, and the first address that it translates there.
struct Placement {
  std::uint64_t root = 0;
  VirtAddr va{};
  friend bool operator==(const Placement&, const Placement&) = default;
};

struct Table {
  std::uint64_t page = 0;
  std::uint64_t bytes = 0;  ///< a root may be smaller than a page, and have neighbours
  Level level;
  bool shared = false;            ///< has stood in several places at once
  std::vector<Placement> places;  ///< from roots that some CPU has used; several, where roots share a table
  std::unique_ptr<std::uint64_t[]> words;

  bool placed() const { return !places.empty(); }
};

/// A slot, with what is known about where it stands.
struct Slot {
  Table* table = nullptr;
  unsigned index = 0;
  std::uint64_t& word() const { return table->words[index]; }
};

class Tables {
 public:
  explicit Tables(unsigned page_shift) : page_shift_(page_shift) {}

  /// A page (or a root smaller than one) is a table from here on; its words are 0 until told otherwise.
  Table& add(std::uint64_t address, std::uint64_t bytes, Level level);
  void remove(std::uint64_t address, std::uint64_t bytes, const std::function<void(const Table&)>& removed);
  std::optional<Slot> slot(std::uint64_t address) const;
  Table* find(std::uint64_t address) const;

  /// A root was written to a TTBR of `cpu`: places it and everything below it.
  void use_root(const vmsa::Regime& regime, const Context& context, unsigned cpu);
  /// These CPUs have flushed everything; what runs on one now may come back, the rest may not.
  void flushed(shadow::CpuSet cpus, const std::function<bool(const Context&, unsigned cpu)>& runs_on);
  /// Calls fn(context, va) for each place where a table stands.
  template <typename Fn>
  void for_each_place(const Table& table, Fn&& fn) const {
    for (std::size_t i = 0; i < table.places.size(); ++i) {
      const Placement p = table.places[i];
      if (const auto it = contexts_.find(p.root); it != contexts_.end()) fn(it->second, p.va);
    }
  }
  /// The context in which a table stands that a half of the address space and an ASID name; after a rollover, which
  /// renames it, any of that half.
  const Context* context_of(const Table& table, bool kernel, std::uint16_t asid) const;
  /// The context of a root; nothing for any other table.
  const Context* context_of_root(const Table& table) const;
  const vmsa::Regime& regime_of(const Context& c) const { return c.kernel ? kernel_ : user_; }
  const vmsa::Regime& kernel_regime() const { return kernel_; }

  /// Of a slot whose table stands at `va`.
  shadow::Place place_of(const Slot& slot, const Context& c, VirtAddr va) const;
  /// Links and unlinks what a table descriptor at this place points to.
  void link(const Context& c, const shadow::Place& at, Descriptor d) { set_linked(c, at, d, true); }
  void unlink(const Context& c, const shadow::Place& at, Descriptor d) { set_linked(c, at, d, false); }

  /// The descriptor that a walk of the current tables meets on its way into this table, where it stands at `va`;
  /// nothing for a root, and for one that no walk reaches.
  std::optional<shadow::Held> link_to(const Table& table, const Context& c, VirtAddr va) const;
  /// The leaf that the current tables have for an address, and where the address leads.
  struct Leaf {
    Descriptor value;
    PhysAddr output;
  };
  std::optional<Leaf> translate(const Context& c, VirtAddr va) const;
  /// A leaf was stored at this slot, which stands at this place: for_each_mapping_of() will find it.
  void map(const Slot& slot, const Context& c, const shadow::Place& at, Descriptor d);
  /// Calls fn for the leaves that map a page of [start, start + bytes) now, of several over one page the last. The
  /// linear map, which maps every page, is left out.
  using OnMapping = std::function<void(const shadow::Held&, const Context&)>;
  void for_each_mapping_of(PhysAddr start, std::uint64_t bytes, const OnMapping& fn) const;
  /// The word of a slot as walkers see it; invalid where no table is known.
  Descriptor read(PhysAddr slot) const;
  /// Calls fn(place, slot's address, descriptor) for every valid word of the tables below a table descriptor.
  using OnBelow = std::function<void(const shadow::Place&, PhysAddr, Descriptor)>;
  void for_each_below(const shadow::Place& at, Descriptor d, const OnBelow& fn) const;

 private:
  void set_linked(const Context& c, const shadow::Place& at, Descriptor d, bool linked);
  void place(Table& table, const Placement& at, bool placed, unsigned depth);
  void place_below(const Table& table, const Placement& at, bool placed, unsigned depth);
  /// The table that a descriptor of a table at `level` points to, if it is known as one of the next level.
  Table* below(const vmsa::Regime& r, Level level, Descriptor d) const;
  void for_each_live_leaf(std::uint64_t slot, Level level, PhysAddr output, const OnMapping& fn) const;
  unsigned word_count() const { return 1u << (page_shift_ - 3); }

  unsigned page_shift_;
  vmsa::Regime kernel_;
  vmsa::Regime user_;
  boost::unordered_flat_map<std::uint64_t, std::unique_ptr<Table>> by_page_;
  boost::unordered_flat_map<std::uint64_t, std::vector<std::uint64_t>>
      small_roots_;  ///< by page: addresses of those that do not fill it
  boost::unordered_flat_map<std::uint64_t, Context> contexts_;  ///< by root
  boost::unordered_flat_map<std::uint64_t, std::uint64_t>
      mapped_at_;  ///< by output and level: slots; some are past
};

}  // namespace shootdown::audit
