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

struct Table {
  std::uint64_t page = 0;
  Level level;
  bool placed = false;     ///< reachable from a root that some CPU has used
  VirtAddr va{};           ///< the first address that it translates, when placed
  std::uint64_t root = 0;  ///< of its context
  std::unique_ptr<std::uint64_t[]> words;
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
  Table& add(std::uint64_t address, Level level);
  void remove(std::uint64_t address, std::uint64_t bytes, const std::function<void(const Table&)>& removed);
  std::optional<Slot> slot(std::uint64_t address) const;
  Table* find(std::uint64_t address) const;

  /// A root was written to a TTBR of `cpu`: places it and everything below it.
  void use_root(const vmsa::Regime& regime, const Context& context, unsigned cpu);
  /// These CPUs have flushed everything; what runs on one now may come back, the rest may not.
  void flushed(shadow::CpuSet cpus, const std::function<bool(const Context&, unsigned cpu)>& runs_on);
  const Context* context_of(const Table& table) const;
  const vmsa::Regime& regime_of(const Context& c) const { return c.kernel ? kernel_ : user_; }
  const vmsa::Regime& kernel_regime() const { return kernel_; }

  shadow::Place place_of(const Slot& slot, const Context& c) const;
  /// Links and unlinks what a table descriptor at a placed slot points to.
  void link(const Slot& slot, Descriptor d);
  void unlink(Level level, Descriptor d);

  /// The descriptor that a walk of the current tables meets on its way into this table; nothing for a root, and for
  /// one that no walk reaches.
  std::optional<shadow::Held> link_to(const Table& table);
  /// The leaf that the current tables have for an address, and where the address leads.
  struct Leaf {
    Descriptor value;
    PhysAddr output;
  };
  std::optional<Leaf> translate(const Context& c, VirtAddr va);
  /// A leaf was stored at this placed slot: for_each_mapping_of() will find it.
  void map(const Slot& slot, Descriptor d);
  /// Calls fn for the leaves that map a page of [start, start + bytes) now, of several over one page the last. The
  /// linear map, which maps every page, is left out.
  void for_each_mapping_of(PhysAddr start, std::uint64_t bytes,
                           const std::function<void(const shadow::Held&)>& fn) const;
  /// The word of a slot as walkers see it; invalid where no table is known.
  Descriptor read(PhysAddr slot) const;
  /// Calls fn(slot, descriptor) for every valid word of the tables below a table descriptor.
  void for_each_below(Level level, Descriptor d, const std::function<void(const Slot&, Descriptor)>& fn);

 private:
  void place(Table& table, VirtAddr va, std::uint64_t root, bool placed, unsigned depth);
  std::optional<shadow::Held> live_leaf(std::uint64_t slot, Level level, PhysAddr output) const;
  unsigned word_count() const { return 1u << (page_shift_ - 3); }

  unsigned page_shift_;
  vmsa::Regime kernel_;
  vmsa::Regime user_;
  boost::unordered_flat_map<std::uint64_t, std::unique_ptr<Table>> by_page_;
  boost::unordered_flat_map<std::uint64_t, std::vector<std::uint64_t>> small_roots_;  ///< by page: addresses
  boost::unordered_flat_map<std::uint64_t, Context> contexts_;                        ///< by root
  boost::unordered_flat_map<std::uint64_t, std::uint64_t>
      mapped_at_;  ///< by output and level: slots; some are past
};

}  // namespace shootdown::audit
