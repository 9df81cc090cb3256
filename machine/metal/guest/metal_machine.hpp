// SPDX-License-Identifier: MIT
// MetalMachine: the Machine concept on AArch64 at EL1. Descriptors by identity-mapped physical address, TLBI, DSB
// and ISB as the instructions themselves, each counted where it is issued. Nothing here decides anything.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "machine/machine.hpp"
#include "machine/metal/guest/arch.hpp"
#include "machine/metal/guest/console.hpp"
#include "machine/metal/guest/cpus.hpp"
#include "machine/metal/guest/memblock.hpp"
#include "machine/metal/guest/page_allocator.hpp"
#include "report/counts.hpp"

namespace shootdown::metal::guest {

namespace op = machine::op;
using machine::Anywhere;

using machine::Access;
using machine::Dsb;
using machine::Features;
using machine::Lock;
using vmsa::Descriptor;
using vmsa::VirtAddr;

/// What a procedure did, exactly.
struct Work {
  report::Counts counts;
  std::uint64_t tables_allocated = 0;
  std::uint64_t released_bytes = 0;
};

/// What all CPUs' machines share.
struct Shared {
  vmsa::Regime regime;
  PhysAddr kernel_root;
  Features features;
  bool vmemmap_pages = false;  ///< every allocation of a vmemmap block fails

  SpinLock page_lock;  ///< guards `pages`
  PageAllocator pages;
  Memblock memblock;  ///< guarded by the hotplug lock
  SharedSpinLock memory_hotplug;
  SpinLock init_mm_page_table;
  std::atomic<std::uint64_t> warning_count{0};
};

namespace detail {

// SAFETY (both): TLBI instructions in their SYS form. They remove cached translations and change no memory; the
// memory clobber keeps descriptor accesses on their side.
template <unsigned Crm, unsigned Op2>
void tlbi_with_operand(std::uint64_t xt) {
  asm volatile("sys #0, c8, c%c0, #%c1, %2" : : "i"(Crm), "i"(Op2), "r"(xt) : "memory");
}
template <unsigned Crm, unsigned Op2>
void tlbi_without_operand(std::uint64_t) {
  asm volatile("sys #0, c8, c%c0, #%c1" : : "i"(Crm), "i"(Op2) : "memory");
}

/// One instruction for each of vmsa::tlbi_ops, in its order.
using IssueTlbi = void (*)(std::uint64_t xt);
template <std::size_t... I>
constexpr std::array<IssueTlbi, sizeof...(I)> make_tlbi_table(std::index_sequence<I...>) {
  return {(vmsa::tlbi_ops[I].target == vmsa::TlbiTarget::all
               ? tlbi_without_operand<vmsa::sys_encoding(vmsa::tlbi_ops[I]).crm,
                                      vmsa::sys_encoding(vmsa::tlbi_ops[I]).op2>
               : tlbi_with_operand<vmsa::sys_encoding(vmsa::tlbi_ops[I]).crm,
                                   vmsa::sys_encoding(vmsa::tlbi_ops[I]).op2>)...};
}
inline constexpr auto tlbi_table = make_tlbi_table(std::make_index_sequence<vmsa::tlbi_ops.size()>{});

}  // namespace detail

/// One CPU's view; each CPU has its own.
class MetalMachine : public machine::Calls<MetalMachine> {
 public:
  MetalMachine(Shared& shared, unsigned cpu) : shared_(shared), cpu_(cpu) {}

  unsigned cpu() const { return cpu_; }
  unsigned cpu_count() const { return guest::cpu_count(); }
  const Features& features() const { return shared_.features; }
  PhysAddr kernel_root() const { return shared_.kernel_root; }

  Descriptor perform(const op::ReadOnce& o, Anywhere) {
    return acquires(o.order) ? Descriptor{__atomic_load_n(slot(o.slot), __ATOMIC_ACQUIRE)}
                             : read_descriptor(o.slot);
  }
  void perform(const op::WriteOnce& o, Anywhere) {
    count_store(o.word);
    if (releases(o.order))
      __atomic_store_n(slot(o.slot), o.value.bits, __ATOMIC_RELEASE);
    else
      __atomic_store_n(slot(o.slot), o.value.bits, __ATOMIC_RELAXED);
  }
  Descriptor perform(const op::Cmpxchg& o, Anywhere) {
    std::uint64_t found = o.expected.bits;
    const bool swapped =
        o.order == machine::Order::relaxed
            ? __atomic_compare_exchange_n(slot(o.slot), &found, o.desired.bits, /*weak=*/false,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED)
            : __atomic_compare_exchange_n(slot(o.slot), &found, o.desired.bits, /*weak=*/false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    if (swapped) count_store(o.word);
    return Descriptor{found};
  }
  Descriptor perform(const op::FetchUpdate& o, Anywhere at) {
    for (Descriptor old = read_descriptor(o.slot);;) {
      const Descriptor found =
          perform(op::Cmpxchg{o.slot, old, op::updated(o.update, old, o.operand), o.order, o.word}, at);
      if (found == old) return old;
      old = found;
    }
  }
  void perform(const op::Dmb& o, Anywhere) {
    switch (o.kind) {
      case machine::Dmb::ish: return dmb_ish();
      case machine::Dmb::ishst: return dmb_ishst();
      case machine::Dmb::ishld: return dmb_ishld();
    }
  }

  void perform(const op::Dsb& o, Anywhere) {
    ++work_.counts.dsb[static_cast<unsigned>(o.kind)];
    switch (o.kind) {
      case Dsb::nshst: return dsb_nshst();
      case Dsb::nsh: return dsb_nsh();
      case Dsb::ishst: return dsb_ishst();
      case Dsb::ish: return dsb_ish();
    }
  }
  void perform(const op::Isb&, Anywhere) {
    ++work_.counts.isb;
    guest::isb();
  }
  void perform(const op::Tlbi& o, Anywhere) {
    const unsigned index = vmsa::tlbi_index(o.tlbi.op);
    ++work_.counts.tlbi[index];
    detail::tlbi_table[index](vmsa::tlbi_operand(shared_.regime, o.tlbi));
  }

  Access perform(const op::Load& o, Anywhere) {
    const ProbeResult r = probe_load(o.va.value);
    return {.faulted = r.faulted, .value = r.value};
  }
  Access perform(const op::Store& o, Anywhere) {
    return {.faulted = probe_store(o.va.value, o.value), .value = 0};
  }

  /// Pages come with garbage: words that look like valid descriptors with the access flag clear.
  PhysAddr perform(const op::AllocPages& o, Anywhere) {
    if (o.use == PageUse::vmemmap && o.order > 0 && shared_.vmemmap_pages) return {};
    shared_.page_lock.lock();
    const PhysAddr page = shared_.pages.alloc(o.use, o.order);
    shared_.page_lock.unlock();
    if (page == PhysAddr{}) return page;
    if (o.use == PageUse::table) ++work_.tables_allocated;
    fill(page, o.order, poison);
    return page;
  }
  void perform(const op::ClearPage& o, Anywhere) { fill(o.page, 0, 0); }
  void perform(const op::FreePages& o, Anywhere) {
    mark<Mark::pause>();
    fill(o.page, o.order, poison);  // as its next owner would
    mark<Mark::resume>();
    if (o.use == PageUse::table) ++work_.counts.tables_freed;
    shared_.page_lock.lock();
    const char* error = shared_.pages.free(o.page, o.use, o.order);
    shared_.page_lock.unlock();
    if (error != nullptr) warn(error);
  }
  void perform(const op::DeferFree& o, Anywhere) {
    shared_.page_lock.lock();
    const char* error = shared_.pages.defer(deferred_, o.page, o.use, o.order);
    shared_.page_lock.unlock();
    if (error != nullptr) warn(error);
  }
  machine::Deferred perform(const op::TakeDeferred&, Anywhere) {
    shared_.page_lock.lock();
    const auto d = shared_.pages.take(deferred_);
    shared_.page_lock.unlock();
    return d;
  }
  void perform(const op::ReleaseRange& o, Anywhere) { work_.released_bytes += o.range.size(); }

  void perform(const op::MemblockAdd& o, Anywhere) {
    if (!shared_.memblock.add(o.range)) warn("memblock is full");
  }
  void perform(const op::MemblockRemove& o, Anywhere) {
    if (!shared_.memblock.remove(o.range)) warn("memblock is full");
  }
  bool perform(const op::PfnValid& o, Anywhere) { return shared_.memblock.contains(o.pa); }

  void perform(const op::TakeLock& o, Anywhere) {
    if (o.lock == Lock::memory_hotplug)
      shared_.memory_hotplug.lock();
    else
      shared_.init_mm_page_table.lock();
  }
  void perform(const op::DropLock& o, Anywhere) {
    if (o.lock == Lock::memory_hotplug)
      shared_.memory_hotplug.unlock();
    else
      shared_.init_mm_page_table.unlock();
  }
  void perform(const op::TakeLockShared&, Anywhere) { shared_.memory_hotplug.lock_shared(); }
  void perform(const op::DropLockShared&, Anywhere) { shared_.memory_hotplug.unlock_shared(); }
  void perform(const op::CondResched&, Anywhere) {}
  void perform(const op::Warn& o, Anywhere) {
    shared_.warning_count.fetch_add(1, std::memory_order_relaxed);
    Line("warning").number("cpu", cpu_).text("what", o.what).write();
  }

  void enter(const char*) {}
  void leave(const std::uint64_t*, std::size_t) {}

  const Work& work() const { return work_; }
  void reset_work() { work_ = Work{}; }

  static Descriptor read_descriptor(PhysAddr pa) {
    return Descriptor{__atomic_load_n(slot(pa), __ATOMIC_RELAXED)};
  }
  /// A valid table or page descriptor, access flag clear, that points nowhere.
  static constexpr std::uint64_t poison = 0x00005aa50badf003;

 private:
  void count_store(machine::Word word) {
    if (word == machine::Word::descriptor) ++work_.counts.descriptor_stores;
  }
  // SAFETY: descriptors and pages live in boot memory, which the identity map covers one to one.
  static std::uint64_t* slot(PhysAddr pa) { return reinterpret_cast<std::uint64_t*>(pa.value); }
  void fill(PhysAddr page, unsigned order, std::uint64_t word) {
    std::uint64_t* p = slot(page);
    const std::uint64_t words = shared_.regime.page_size() / 8 << order;
    for (std::uint64_t i = 0; i < words; ++i) p[i] = word;
  }

  Shared& shared_;
  unsigned cpu_;
  PageAllocator::DeferredList deferred_;
  Work work_;
};

static_assert(machine::Machine<MetalMachine>);

}  // namespace shootdown::metal::guest
