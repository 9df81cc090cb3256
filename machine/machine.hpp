// SPDX-License-Identifier: MIT
// The Machine concept: everything that code which changes live page tables asks of the hardware and of the
// kernel around it. Procedures (mm/) are written once over it; model/, timed/ and metal/ provide it.
// The exemplar documents each operation; it compiles and does nothing.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "vmsa/address.hpp"
#include "vmsa/break_before_make.hpp"
#include "vmsa/descriptor.hpp"
#include "vmsa/tlbi.hpp"

namespace shootdown::machine {

using vmsa::Descriptor;
using vmsa::PhysAddr;
using vmsa::PhysRange;
using vmsa::VirtAddr;

/// What the CPUs implement, as far as procedures ask.
struct Features {
  bool range_tlbi = true;            ///< FEAT_TLBIRANGE
  bool hardware_access_flag = true;  ///< FEAT_HAFDBS: walks set AF in leaves
  bool hardware_table_flag = false;  ///< FEAT_HAFT: and in table descriptors
  bool repeat_tlbi = false;          ///< erratum: each broadcast completion costs one more TLBI and DSB
  vmsa::BbmLevel bbm = vmsa::BbmLevel::level0;

  friend constexpr bool operator==(const Features&, const Features&) = default;
};

/// Data synchronization barriers: domain and access types. The order is that of counters and tables.
enum class Dsb : std::uint8_t { nshst, nsh, ishst, ish };
inline constexpr std::array<const char*, 4> dsb_names{"NSHST", "NSH", "ISHST", "ISH"};

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
  std::uint64_t faulted = 0;  ///< 1 when the walk ended in a translation fault
  std::uint64_t value = 0;    ///< what a load read
};

/// The exemplar. Physical address 0 stands for "no page".
class Exemplar {
 public:
  /// The executing CPU and how many are online; stable for the run of a procedure.
  unsigned cpu() const { return 0; }
  unsigned cpu_count() const { return 1; }
  const Features& features() const { return features_; }
  /// The root table of the kernel half (TTBR1_EL1).
  PhysAddr kernel_root() const { return {}; }

  /// A descriptor, 64-bit single-copy atomic, by physical address of its slot. Not ordered by itself.
  Descriptor read_once(PhysAddr) { return {}; }
  void write_once(PhysAddr, Descriptor) {}
  /// Atomic compare-and-swap with release and acquire order; returns what was there.
  Descriptor cmpxchg(PhysAddr, Descriptor /*expected*/, Descriptor /*desired*/) { return {}; }

  void dsb(Dsb) {}
  void isb() {}
  void tlbi(const vmsa::Tlbi&) {}

  /// Accesses through the translation of the kernel half.
  Access load(VirtAddr) { return {}; }
  Access store(VirtAddr, std::uint64_t /*value*/) { return {}; }

  /// 2^order pages, naturally aligned, with whatever they last contained; 0 when there are none.
  PhysAddr alloc_pages(PageUse, unsigned /*order*/) { return {}; }
  /// Plain stores of zero to a whole page; visible to walkers in no particular order until a DSB.
  void clear_page(PhysAddr) {}
  /// Hands pages back to the allocator: from here on anybody may own them.
  void free_pages(PhysAddr, PageUse, unsigned /*order*/) {}
  /// Keeps pages for later on this CPU's list, which runs through their struct pages, never through the pages
  /// themselves; `take_deferred` returns them one by one, in any order, then {0}.
  void defer_free(PhysAddr, PageUse, unsigned /*order*/) {}
  struct Deferred {
    PhysAddr page;
    PageUse use = PageUse::data;
    unsigned order = 0;
  };
  Deferred take_deferred() { return {}; }
  /// Hands a range of hotplugged memory back to its provider (the end of arch_remove_memory()).
  void release_range(PhysRange) {}

  /// memblock's view of which memory exists; answers pfn_valid().
  void memblock_add(PhysRange) {}
  void memblock_remove(PhysRange) {}
  bool pfn_valid(PhysAddr) { return true; }

  void lock(Lock) {}
  void unlock(Lock) {}
  void lock_shared(Lock) {}
  void unlock_shared(Lock) {}
  /// A point where the scheduler may run something else (cond_resched()).
  void cond_resched() {}
  /// A state that the procedure knows to be a bug (WARN_ON): the machine reports it under this name.
  void warn(const char* /*what*/) {}

  /// Function entry and exit, see Scope.
  void enter(const char* /*function*/) {}
  void leave(const std::uint64_t* /*words*/, std::size_t /*count*/) {}

 private:
  Features features_;
};

template <typename M>
concept Machine = requires(M& m, const M& c, PhysAddr pa, VirtAddr va, Descriptor d, PhysRange range) {
  { c.cpu() } -> std::convertible_to<unsigned>;
  { c.cpu_count() } -> std::convertible_to<unsigned>;
  { c.features() } -> std::convertible_to<const Features&>;
  { c.kernel_root() } -> std::same_as<PhysAddr>;
  { m.read_once(pa) } -> std::same_as<Descriptor>;
  m.write_once(pa, d);
  { m.cmpxchg(pa, d, d) } -> std::same_as<Descriptor>;
  m.dsb(Dsb::ish);
  m.isb();
  m.tlbi(vmsa::Tlbi{});
  { m.load(va) } -> std::same_as<Access>;
  { m.store(va, std::uint64_t{}) } -> std::same_as<Access>;
  { m.alloc_pages(PageUse::table, 0u) } -> std::same_as<PhysAddr>;
  m.clear_page(pa);
  m.free_pages(pa, PageUse::table, 0u);
  m.defer_free(pa, PageUse::table, 0u);
  { m.take_deferred().page } -> std::convertible_to<PhysAddr>;
  m.release_range(range);
  m.memblock_add(range);
  m.memblock_remove(range);
  { m.pfn_valid(pa) } -> std::same_as<bool>;
  m.lock(Lock::memory_hotplug);
  m.unlock(Lock::memory_hotplug);
  m.lock_shared(Lock::memory_hotplug);
  m.unlock_shared(Lock::memory_hotplug);
  m.cond_resched();
  m.warn("");
  m.enter("");
  requires requires { m.leave(nullptr, std::size_t{}); } || requires(const char* name) {
    m.leave(name);
  };
};

static_assert(Machine<Exemplar>);

/// Marks a function of a procedure: the first line of every function that performs operations.
///
/// It names the function in reports, splits time and counts by function, and tells the explorer which part of
/// a suspended procedure still matters: once a function has returned, only its result does. Hence the rule
/// that mm/ keeps: values go in as arguments and come out through `return scope.leave(value)`; nothing is
/// changed through a reference but the machine itself.
template <Machine M, typename Result = void>
class Scope {
 public:
  [[gnu::always_inline]] Scope(M& m, const char* function) : m_(m), function_(function) {
    m_.enter(function);
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  // A model machine suspends a procedure by an exception; nothing else may leave without a result.
  [[gnu::always_inline]] ~Scope() {
    if constexpr (requires { m_.leave(function_); })
      m_.leave(function_);  // a machine that wants no result may ask for the name instead
    else
      m_.leave(words_.data(), std::is_void_v<Result> ? 0 : words_.size());
  }

  template <typename R = Result>
  [[nodiscard]] R leave(const R& result) {
    static_assert(std::is_same_v<R, Result> && std::has_unique_object_representations_v<R>);
    static_assert(sizeof(R) <= sizeof(words_));
    const auto bytes = std::bit_cast<std::array<unsigned char, sizeof(R)>>(result);
    for (std::size_t i = 0; i < sizeof(R); ++i) words_[i / 8] |= std::uint64_t{bytes[i]} << i % 8 * 8;
    return result;
  }

 private:
  M& m_;
  const char* function_;  // inlined, a literal: costs nothing
  std::array<std::uint64_t, 2> words_{};
};

}  // namespace shootdown::machine
