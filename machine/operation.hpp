// SPDX-License-Identifier: MIT
// Everything that a procedure may ask of a machine: one struct an operation, with named fields and the type of its
// answer, and one list of them all. Each machine has one `perform` for each; there is no default anywhere, so a new
// operation does not compile until every machine has spoken. How procedures spell them: machine.hpp.
#pragma once

#include <array>
#include <cstdint>

#include "vmsa/access.hpp"
#include "vmsa/address.hpp"
#include "vmsa/descriptor.hpp"
#include "vmsa/tlbi.hpp"

namespace shootdown::machine {

using vmsa::Descriptor;
using vmsa::PhysAddr;
using vmsa::PhysRange;
using vmsa::VirtAddr;

/// Data synchronization barriers: domain and access types. The order is that of counters and tables.
enum class Dsb : std::uint8_t { nshst, nsh, ishst, ish };
inline constexpr std::array<const char*, 4> dsb_names{"NSHST", "NSH", "ISHST", "ISH"};

/// Data memory barriers: which accesses before it stay before which accesses behind it. It orders no walks and no TLBI.
enum class Dmb : std::uint8_t { ishst, ishld, ish };

/// What an access to a word orders. `release`: all accesses before it come first. `acquire`: all behind it come later.
/// A compare-and-swap that fails releases nothing.
enum class Order : std::uint8_t { relaxed, acquire, release, acq_rel };
constexpr bool acquires(Order o) { return o == Order::acquire || o == Order::acq_rel; }
constexpr bool releases(Order o) { return o == Order::release || o == Order::acq_rel; }

/// What a word is to whoever accesses it: a descriptor, whose page must still be a table, or data.
enum class Word : std::uint8_t { descriptor, data };

/// Locks that the procedures of the kernel share. `memory_hotplug` can be held shared; the rest are exclusive.
enum class Lock : std::uint8_t { memory_hotplug, init_mm_page_table };
inline constexpr std::size_t lock_count = 2;

/// What a page is for. Decides who may be harmed by its release, and in which count it shows.
enum class PageUse : std::uint8_t {
  table,    ///< a translation table
  vmemmap,  ///< backs a piece of the struct page array
  data,     ///< anything else
};

/// The answer to a translated access.
struct Access {
  std::uint64_t faulted = 0;  ///< 1 when it was not made
  std::uint64_t value = 0;    ///< what a load read
  vmsa::Fault fault = vmsa::Fault::none;
  vmsa::Level level{};  ///< of the descriptor that faulted
};

/// A page off the list of pages to be freed later; page 0 when the list is empty.
struct Deferred {
  PhysAddr page;
  PageUse use = PageUse::data;
  unsigned order = 0;  ///< 2^order pages

  friend constexpr bool operator==(const Deferred&, const Deferred&) = default;
};

/// Physical address 0 stands for "no page".
namespace op {

/// A word, 64-bit single-copy atomic, by its physical address. Relaxed, it is not ordered by itself.
struct ReadOnce {
  using Answer = Descriptor;
  PhysAddr slot;
  Order order = Order::relaxed;
  Word word = Word::descriptor;
};
struct WriteOnce {
  using Answer = void;
  PhysAddr slot;
  Descriptor value;
  Order order = Order::relaxed;
  Word word = Word::descriptor;
};
/// Atomic compare-and-swap; answers what was there.
struct Cmpxchg {
  using Answer = Descriptor;
  PhysAddr slot;
  Descriptor expected;
  Descriptor desired;
  Order order = Order::acq_rel;
  Word word = Word::descriptor;
};
/// Atomic read-modify-write; answers what was there.
enum class Update : std::uint8_t { exchange, add, set, clear };
constexpr Descriptor updated(Update u, Descriptor old, std::uint64_t operand) {
  switch (u) {
    case Update::exchange: return Descriptor{operand};
    case Update::add: return Descriptor{old.bits + operand};
    case Update::set: return Descriptor{old.bits | operand};
    case Update::clear: return Descriptor{old.bits & ~operand};
  }
  return old;
}
struct FetchUpdate {
  using Answer = Descriptor;
  PhysAddr slot;
  Update update;
  std::uint64_t operand;
  Order order = Order::acq_rel;
  Word word = Word::descriptor;
};
struct Dmb {
  using Answer = void;
  machine::Dmb kind;
};

struct Dsb {
  using Answer = void;
  machine::Dsb kind;
};
struct Isb {
  using Answer = void;
};
struct Tlbi {
  using Answer = void;
  vmsa::Tlbi tlbi;
};

/// Accesses through the translation of the address's half, at EL1 or, as user code, at EL0.
struct Load {
  using Answer = Access;
  VirtAddr va;
  bool user = false;
};
struct Store {
  using Answer = Access;
  VirtAddr va;
  std::uint64_t value;
  bool user = false;
};

/// 2^order pages, naturally aligned, with whatever they last contained; 0 when there are none.
struct AllocPages {
  using Answer = PhysAddr;
  PageUse use;
  unsigned order;
};
/// Plain stores of zero to a whole page; visible to walkers in no particular order until a DSB.
struct ClearPage {
  using Answer = void;
  PhysAddr page;
};
/// Hands pages back to the allocator: from here on anybody may own them.
struct FreePages {
  using Answer = void;
  PhysAddr page;
  PageUse use;
  unsigned order;
};
/// Keeps pages for later on this CPU's list, which runs through their struct pages, never through the pages
/// themselves; `TakeDeferred` answers them one by one, the last first, then page 0.
struct DeferFree {
  using Answer = void;
  PhysAddr page;
  PageUse use;
  unsigned order;
};
struct TakeDeferred {
  using Answer = Deferred;
};
/// Hands a range of hotplugged memory back to its provider (the end of arch_remove_memory()).
struct ReleaseRange {
  using Answer = void;
  PhysRange range;
};

/// memblock's view of which memory exists; answers pfn_valid().
struct MemblockAdd {
  using Answer = void;
  PhysRange range;
};
struct MemblockRemove {
  using Answer = void;
  PhysRange range;
};
struct PfnValid {
  using Answer = bool;
  PhysAddr pa;
};

struct TakeLock {
  using Answer = void;
  Lock lock;
};
struct DropLock {
  using Answer = void;
  Lock lock;
};
struct TakeLockShared {
  using Answer = void;
  Lock lock;
};
struct DropLockShared {
  using Answer = void;
  Lock lock;
};

/// A point where the scheduler may run something else (cond_resched()).
struct CondResched {
  using Answer = void;
};
/// A state that the procedure knows to be a bug (WARN_ON): the machine reports it under this name.
struct Warn {
  using Answer = void;
  const char* what;
};

}  // namespace op

template <typename... Op>
struct OperationList {};

/// The list.
using Operations =
    OperationList<op::ReadOnce, op::WriteOnce, op::Cmpxchg, op::FetchUpdate, op::Dmb, op::Dsb, op::Isb,
                  op::Tlbi, op::Load, op::Store, op::AllocPages, op::ClearPage, op::FreePages, op::DeferFree,
                  op::TakeDeferred, op::ReleaseRange, op::MemblockAdd, op::MemblockRemove, op::PfnValid,
                  op::TakeLock, op::DropLock, op::TakeLockShared, op::DropLockShared, op::CondResched,
                  op::Warn>;

}  // namespace shootdown::machine
