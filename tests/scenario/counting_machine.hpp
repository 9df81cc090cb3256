// SPDX-License-Identifier: MIT
// A machine with sparse memory and counters, no TLB and one CPU: procedures run on it in full, so that what they
// did can be counted without trusting any of the real machines.
#pragma once

#include <cstdint>
#include <vector>

#include "machine/machine.hpp"
#include "report/counts.hpp"

namespace shootdown::scenario {

namespace op = machine::op;
using machine::Anywhere;

class CountingMachine : public machine::Calls<CountingMachine> {
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
  vmsa::Descriptor perform(const op::ReadOnce& o, Anywhere) { return vmsa::Descriptor{slot(o.slot)}; }
  void perform(const op::WriteOnce& o, Anywhere) {
    ++counts.descriptor_stores;
    slot(o.slot) = o.value.bits;
  }
  vmsa::Descriptor perform(const op::Cmpxchg& o, Anywhere) { return machine::in_two_steps(*this, o); }
  vmsa::Descriptor perform(const op::FetchUpdate& o, Anywhere) { return machine::in_two_steps(*this, o); }
  void perform(const op::Dmb&, Anywhere) {}
  void perform(const op::Dsb& o, Anywhere) { ++counts.dsb[static_cast<unsigned>(o.kind)]; }
  void perform(const op::Isb&, Anywhere) { ++counts.isb; }
  void perform(const op::Tlbi& o, Anywhere) { ++counts.tlbi[vmsa::tlbi_index(o.tlbi.op)]; }
  machine::Access perform(const op::Load&, Anywhere) { return {}; }
  machine::Access perform(const op::Store&, Anywhere) { return {}; }
  vmsa::PhysAddr perform(const op::AllocPages& o, Anywhere) {
    if (o.use == machine::PageUse::vmemmap && o.order > 0 && vmemmap_pages) return {};
    const std::uint64_t size = std::uint64_t{1} << (page_shift_ + o.order);
    if (o.use == machine::PageUse::table) {
      ++table_balance;
      const std::uint64_t at = tables_.size() * 8;
      tables_.resize(tables_.size() + size / 8);
      return vmsa::PhysAddr(first_table + at);
    }
    next_ = (next_ + size - 1) & ~(size - 1);
    next_ += size;
    return vmsa::PhysAddr(next_ - size);
  }
  void perform(const op::ClearPage&, Anywhere) {}  // tables start out as zeros, and none is reused
  void perform(const op::FreePages& o, Anywhere) {
    if (o.use != machine::PageUse::table) return;
    ++counts.tables_freed;
    --table_balance;
  }
  void perform(const op::DeferFree& o, Anywhere) { list_.push_back({o.page, o.use, o.order}); }
  machine::Deferred perform(const op::TakeDeferred&, Anywhere) {
    if (list_.empty()) return {};
    const auto d = list_.back();
    list_.pop_back();
    return d;
  }
  void perform(const op::ReleaseRange&, Anywhere) {}
  void perform(const op::MemblockAdd&, Anywhere) {}
  void perform(const op::MemblockRemove&, Anywhere) {}
  bool perform(const op::PfnValid&, Anywhere) { return true; }
  void perform(const op::TakeLock&, Anywhere) {}
  void perform(const op::DropLock&, Anywhere) {}
  void perform(const op::TakeLockShared&, Anywhere) {}
  void perform(const op::DropLockShared&, Anywhere) {}
  void perform(const op::CondResched&, Anywhere) {}
  void perform(const op::Warn&, Anywhere) { ++warnings; }
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
  std::vector<machine::Deferred> list_;
  vmsa::PhysAddr root_;
};

static_assert(machine::Machine<CountingMachine>);

}  // namespace shootdown::scenario
