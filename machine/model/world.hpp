// SPDX-License-Identifier: MIT
// Everything that the CPUs of the model share, and what each of them keeps to itself: a plain value. `fields` lists all
// of its state; encoding, decoding and equality are made from that list. What changes it is stepper.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "machine/model/memory.hpp"
#include "shadow/shadow.hpp"

namespace shootdown::model {

inline constexpr unsigned max_cpus = 4;

/// Who a page belongs to.
enum class PageState : std::uint8_t {
  free,      ///< in the allocator, never used in this run
  table,     ///< a translation table
  used,      ///< vmemmap backing, memory of the range, anything else that has an owner
  released,  ///< given back: anybody may take it
  reused,    ///< taken over by a new owner
};

/// The part of a page that changes.
struct PageUsage {
  PageState state = PageState::free;
  std::uint8_t owner = 0;     ///< the CPU that took it last
  bool carries_data = false;  ///< plain stores have been made to it
  shadow::CpuSet walkers;     ///< who found it in the tables in a read section that is still open: `walker()`

  /// Whose page it is, in a byte.
  std::uint8_t tag() const { return static_cast<std::uint8_t>(static_cast<unsigned>(state) | owner << 4); }
  friend bool operator==(const PageUsage&, const PageUsage&) = default;
};

struct Page {
  PhysAddr start;
  unsigned order = 0;
  bool allocatable = true;  ///< false for the hotplugged memory itself
  PageUsage usage{};

  bool given_away() const { return usage.state == PageState::free || usage.state == PageState::released; }
  PhysRange range(unsigned page_shift) const {
    return {start, start + (std::uint64_t{1} << (page_shift + order))};
  }
};

/// How far a CPU's own walker and its local TLBIs have come with a store of its own that others do not see yet: bits.
enum OwnView : std::uint8_t {
  own_seen = 1,         ///< a DSB has followed: its walker sees it
  own_usable = 2,       ///< and an ISB: what it maps can be used here
  own_invalidated = 4,  ///< a local TLBI of the old value has been issued
  own_completed = 8,    ///< and completed
  own_gone = 16,        ///< and this CPU synchronised: of the old value nothing is left here
};

/// A CPU's task, or what interrupts it, as a walker.
constexpr shadow::CpuSet walker(unsigned cpu, bool interrupt) {
  return shadow::CpuSet::one(interrupt ? cpu + max_cpus : cpu);
}

/// A thing that this CPU has done and others do not see yet. Stores may overtake each other, but not to one word, not
/// past a fence; what releases waits for all that is older.
struct Buffered {
  enum class Kind : std::uint8_t { store, fence, drop_lock, drop_lock_shared, free, end_section, call };
  Kind kind = Kind::store;
  bool releases = false;    ///< a store-release
  bool saw_flags = false;   ///< what hardware had set in the word was known to the writer
  std::uint8_t own = 0;     ///< OwnView
  std::uint8_t was = 0;     ///< PageUsage::tag() of its page when it was made
  std::uint8_t number = 0;  ///< of the lock; which section has ended: SectionEnd
  PhysAddr through;         ///< of a store by a virtual address, where its leaf stands
  PhysAddr slot;            ///< or the pages that are given away
  std::uint64_t value = 0;  ///< or their end; of a call after a grace period, its packed page

  friend bool operator==(const Buffered&, const Buffered&) = default;
};

/// What ends: interrupts are taken again, rcu_read_unlock(), a handler has returned.
enum SectionEnd : std::uint8_t { mask_section, rcu_section, interrupt_section };

/// A value that a word had and that a read of this CPU may still return: nothing has ordered its reads since.
struct Early {
  PhysAddr slot;
  std::uint64_t value = 0;
  PhysAddr guard;  ///< not for a read whose address came out of this word, as it has been since; 0: for all

  friend bool operator==(const Early&, const Early&) = default;
};

/// A slot that a CPU has made valid and that its own walker may not see yet.
struct Unsynchronised {
  PhysAddr slot;
  bool ordered = false;  ///< a DSB of its has followed; the next ISB ends it (Linux d0b7a302d58a)

  friend bool operator==(const Unsynchronised&, const Unsynchronised&) = default;
};

/// What a CPU keeps to itself.
struct Cpu {
  std::vector<Buffered> buffer;
  std::vector<Early> early;                    ///< by slot, the oldest first
  std::vector<std::uint64_t> deferred;         ///< packed pages, last in first out
  std::vector<Unsynchronised> unsynchronised;  ///< by slot
  std::uint8_t mask = 0;                       ///< machine::Mask
  std::uint8_t pending = 0;                    ///< a bit an interrupt level that waits
  std::uint8_t active = 0;                     ///< a bit an interrupt level that is being handled
  std::uint8_t sections = 0;                   ///< read sections that are open, nested
  shadow::CpuSet grace;                        ///< whom its grace period waits for
  bool over = false;                           ///< its task has returned and it has no handlers
  std::uint16_t watched = 0;                   ///< Lookahead: the words that it may read early

  friend bool operator==(const Cpu&, const Cpu&) = default;
};

struct LockState {
  std::uint8_t exclusive = 0;  ///< holder + 1
  std::uint8_t shared = 0;     ///< a bit a holder

  friend bool operator==(const LockState&, const LockState&) = default;
};

/// Bits that hardware has set in a descriptor and that software has not looked at since.
struct HardwareFlags {
  PhysAddr slot;
  bool dirty = false;   ///< or the access flag only
  shadow::CpuSet seen;  ///< CPUs that have read the word since

  friend bool operator==(const HardwareFlags&, const HardwareFlags&) = default;
};

/// Pages that are freed when their grace period has ended (call_rcu()).
struct Callback {
  std::uint64_t page = 0;  ///< packed
  std::uint8_t cpu = 0;
  shadow::CpuSet waits_for;

  friend bool operator==(const Callback&, const Callback&) = default;
};

struct World {
  Memory memory;
  shadow::Shadow shadow;
  std::array<Cpu, max_cpus> cpus;
  std::vector<Page> pages;  ///< sorted by start; which there are never changes
  std::array<LockState, machine::lock_count> locks;
  std::vector<PhysRange> memblock;
  std::vector<HardwareFlags> flags;  ///< by slot
  std::vector<Callback> callbacks;

  unsigned cpu_count() const { return static_cast<unsigned>(std::popcount(shadow.cpus().bits)); }
  Page* page_at(PhysAddr pa);
  const Page* page_at(PhysAddr pa) const { return const_cast<World*>(this)->page_at(pa); }
  /// The youngest store of a CPU to a word that others do not see yet.
  const Buffered* own_store(unsigned cpu, PhysAddr slot) const;
  /// The value of a word as `cpu` reads it last: its own youngest buffered store, else memory.
  Descriptor read(unsigned cpu, PhysAddr slot) const;
};

/// The parts of a world that change at different times: equal parts are stored once.
enum class Part : std::uint8_t { memory, shadow, owners, cpu0, cpu1, cpu2, cpu3 };
inline constexpr std::array<Part, 7> parts{Part::memory, Part::shadow, Part::owners, Part::cpu0,
                                           Part::cpu1,   Part::cpu2,   Part::cpu3};
static_assert(parts.size() == 3 + max_cpus);

/// Calls `fn` with each field of one part, always in one order. The pages' places never change; memory and the shadow
/// list their own fields.
template <typename W, typename Fn>
void fields(Part part, W& w, Fn&& fn) {
  switch (part) {
    case Part::memory: return fn(w.memory);
    case Part::shadow: return shadow::Shadow::fields(w.shadow, fn);
    case Part::owners:
      fn(w.locks);
      fn(w.memblock);
      fn(w.flags);
      fn(w.callbacks);
      for (auto& page : w.pages) fn(page.usage);
      return;
    case Part::cpu0: return fn(w.cpus[0]);
    case Part::cpu1: return fn(w.cpus[1]);
    case Part::cpu2: return fn(w.cpus[2]);
    case Part::cpu3: return fn(w.cpus[3]);
  }
}

}  // namespace shootdown::model
