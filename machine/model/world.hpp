// SPDX-License-Identifier: MIT
// Everything that the CPUs of the model share: memory, write buffers, page owners, locks and the shadow. A plain
// value; what changes it is system.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "machine/model/operation.hpp"
#include "shadow/shadow.hpp"

namespace shootdown::model {

inline constexpr unsigned max_cpus = 4;

/// Words of memory as walkers see them, zeros left out.
class Memory final : public shadow::TableMemory {
 public:
  struct Word {
    std::uint64_t address;
    std::uint64_t value;
    friend auto operator<=>(const Word&, const Word&) = default;
  };

  explicit Memory(unsigned page_shift = 12) : page_shift_(page_shift) {}

  Descriptor read(PhysAddr slot) const override;
  void write(PhysAddr slot, Descriptor d);
  void for_each_valid(PhysAddr page, unsigned count,
                      const std::function<void(unsigned, Descriptor)>& fn) const override;
  /// Non-zero words of one page.
  std::vector<PhysAddr> words_in(PhysAddr page) const;

  const std::vector<Word>& words() const { return words_; }
  /// Replaces everything; sorted by address.
  void assign(std::span<const Word> words) {
    words_.assign(words.begin(), words.end());
    changed_ = true;
  }

  /// Has anything been written since `mark_unchanged`?
  bool changed() const { return changed_; }
  void mark_unchanged() { changed_ = false; }

 private:
  std::vector<Word> words_;  ///< sorted by address
  unsigned page_shift_;
  bool changed_ = false;
};

/// Who a page belongs to.
enum class PageState : std::uint8_t {
  free,      ///< in the allocator, never used in this run
  table,     ///< a translation table
  used,      ///< vmemmap backing, memory of the range, anything else that has an owner
  released,  ///< given back: anybody may take it
  reused,    ///< taken over by a new owner
};

struct Page {
  PhysAddr start;
  unsigned order = 0;
  bool allocatable = true;  ///< false for the hotplugged memory itself
  PageState state = PageState::free;
  std::uint8_t owner = 0;     ///< the CPU that allocated it
  bool shared = false;        ///< other CPUs may write it as well
  bool carries_data = false;  ///< plain stores have been made to it

  PhysRange range(unsigned page_shift) const {
    return {start, start + (std::uint64_t{1} << (page_shift + order))};
  }
};

/// A store that other CPUs and walkers do not see yet.
struct BufferedStore {
  PhysAddr slot;
  Descriptor value;
  friend bool operator==(const BufferedStore&, const BufferedStore&) = default;
};

struct LockState {
  std::uint8_t exclusive = 0;  ///< holder + 1
  std::uint8_t shared = 0;     ///< a bit a holder
};

struct World {
  Memory memory;
  shadow::Shadow shadow;
  std::array<std::vector<BufferedStore>, max_cpus> buffers;
  std::array<std::vector<std::uint64_t>, max_cpus> deferred;  ///< packed pages, last in first out
  std::vector<Page> pages;                                    ///< sorted by start
  std::array<LockState, machine::lock_count> locks;
  std::vector<PhysRange> memblock;
  /// Slots that a CPU has made valid, visible to every walker, since its last context synchronisation: an access of
  /// its own may still be taken to fault as it did before (Linux d0b7a302d58a). Sorted.
  std::array<std::vector<PhysAddr>, max_cpus> unsynchronised;

  Page* page_at(PhysAddr pa);
  const Page* page_at(PhysAddr pa) const { return const_cast<World*>(this)->page_at(pa); }
  /// The value of a slot as `cpu` reads it: its own youngest buffered store, else memory.
  Descriptor read(unsigned cpu, PhysAddr slot) const;
  /// The slot for whose sake an access of `cpu` may still fault, though it has mapped the address itself: walkers do
  /// not see its store yet, or it lacks an ISB. 0 when there is none.
  PhysAddr unpublished_slot(unsigned cpu, PhysAddr root, VirtAddr va) const;
};

}  // namespace shootdown::model
