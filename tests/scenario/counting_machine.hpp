// SPDX-License-Identifier: MIT
// A machine with sparse memory and counters, no TLB and one CPU: procedures run on it in full, so that what they
// did can be counted without trusting any of the real machines.
#pragma once

#include <cstdint>
#include <vector>

#include "machine/machine.hpp"
#include "report/counts.hpp"

namespace shootdown::scenario {

class CountingMachine {
 public:
  CountingMachine(const vmsa::Regime& regime, const machine::Features& features)
      : page_shift_(regime.page_shift), features_(features), root_(alloc_pages(machine::PageUse::table, 0)) {}

  report::Counts counts;
  std::int64_t table_balance = 0;
  std::uint64_t warnings = 0;
  bool vmemmap_pages = false;

  unsigned cpu() const { return 0; }
  unsigned cpu_count() const { return 1; }
  const machine::Features& features() const { return features_; }
  vmsa::PhysAddr kernel_root() const { return root_; }
  vmsa::Descriptor read_once(vmsa::PhysAddr pa) { return vmsa::Descriptor{slot(pa)}; }
  void write_once(vmsa::PhysAddr pa, vmsa::Descriptor d) {
    ++counts.descriptor_stores;
    slot(pa) = d.bits;
  }
  vmsa::Descriptor cmpxchg(vmsa::PhysAddr pa, vmsa::Descriptor expected, vmsa::Descriptor desired) {
    const vmsa::Descriptor old = read_once(pa);
    if (old == expected) write_once(pa, desired);
    return old;
  }
  void dsb(machine::Dsb kind) { ++counts.dsb[static_cast<unsigned>(kind)]; }
  void isb() { ++counts.isb; }
  void tlbi(const vmsa::Tlbi& t) { ++counts.tlbi[vmsa::tlbi_index(t.op)]; }
  machine::Access load(vmsa::VirtAddr) { return {}; }
  machine::Access store(vmsa::VirtAddr, std::uint64_t) { return {}; }
  vmsa::PhysAddr alloc_pages(machine::PageUse use, unsigned order) {
    if (use == machine::PageUse::vmemmap && order > 0 && vmemmap_pages) return {};
    const std::uint64_t size = std::uint64_t{1} << (page_shift_ + order);
    if (use == machine::PageUse::table) {
      ++table_balance;
      const std::uint64_t at = tables_.size() * 8;
      tables_.resize(tables_.size() + size / 8);
      return vmsa::PhysAddr(first_table + at);
    }
    next_ = (next_ + size - 1) & ~(size - 1);
    next_ += size;
    return vmsa::PhysAddr(next_ - size);
  }
  void clear_page(vmsa::PhysAddr) {}  // tables start out as zeros, and none is reused
  void free_pages(vmsa::PhysAddr, machine::PageUse use, unsigned) {
    if (use != machine::PageUse::table) return;
    ++counts.tables_freed;
    --table_balance;
  }
  void defer_free(vmsa::PhysAddr page, machine::PageUse use, unsigned order) {
    list_.push_back({page, use, order});
  }
  machine::Exemplar::Deferred take_deferred() {
    if (list_.empty()) return {};
    const auto d = list_.back();
    list_.pop_back();
    return d;
  }
  void release_range(vmsa::PhysRange) {}
  void memblock_add(vmsa::PhysRange) {}
  void memblock_remove(vmsa::PhysRange) {}
  bool pfn_valid(vmsa::PhysAddr) { return true; }
  void lock(machine::Lock) {}
  void unlock(machine::Lock) {}
  void lock_shared(machine::Lock) {}
  void unlock_shared(machine::Lock) {}
  void cond_resched() {}
  void warn(const char*) { ++warnings; }
  void enter(const char*) {}
  void leave(const std::uint64_t*, std::size_t) {}

 private:
  static constexpr std::uint64_t first_table = std::uint64_t{1}
                                               << 41;  // apart from the memory that is plugged

  std::uint64_t& slot(vmsa::PhysAddr pa) { return tables_.at((pa.value - first_table) / 8); }

  unsigned page_shift_;
  machine::Features features_;
  std::uint64_t next_ = std::uint64_t{1} << 40;  // pages that nobody reads
  std::vector<std::uint64_t> tables_;
  std::vector<machine::Exemplar::Deferred> list_;
  vmsa::PhysAddr root_;
};

static_assert(machine::Machine<CountingMachine>);

}  // namespace shootdown::scenario
