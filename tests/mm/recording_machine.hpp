// SPDX-License-Identifier: MIT
// A machine of one CPU that writes down what it is asked: memory in a map, an allocator that may fail and hands
// out garbage, and a log of one letter an operation. It refuses what no kernel may do.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "machine/machine.hpp"

namespace shootdown::mm {

namespace op = machine::op;
using machine::Anywhere;

using machine::Dsb;
using machine::PageUse;
using vmsa::Descriptor;
using vmsa::Level;
using vmsa::PhysAddr;
using vmsa::PhysRange;
using vmsa::Regime;
using vmsa::VirtAddr;
using vmsa::VirtRange;

class RecordingMachine : public machine::Calls<RecordingMachine> {
 public:
  explicit RecordingMachine(const Regime& r) : r(r) {
    root_ = alloc_pages(PageUse::table, 0), clear_page(root_);
  }

  const Regime r;
  std::string log;  ///< c clear, w write, see also the others below
  std::vector<vmsa::Tlbi> tlbis;
  std::vector<std::string> faults;  ///< what no kernel may do
  int fail_at = -1;                 ///< the allocation that fails, counted from now
  bool keeps_failing = false;       ///< and all after it
  bool no_blocks = false;           ///< no allocation of more than a page
  std::uint64_t stores = 0;
  machine::Features features_;

  std::size_t tables() const { return count(PageUse::table); }
  std::size_t vmemmap_pages() const {
    std::size_t n = 0;
    for (const auto& [page, p] : pages_)
      if (p.use == PageUse::vmemmap) n += std::size_t{1} << p.order;
    return n;
  }
  const std::vector<PhysRange>& memblock() const { return memblock_; }
  bool all_unlocked() const { return locks_ == 0 && deferred_.empty(); }
  void start_log() { log.clear(), tlbis.clear(), stores = 0; }

  unsigned cpu() const { return 0; }
  unsigned cpu_count() const { return 1; }
  const machine::Features& features() const { return features_; }
  PhysAddr kernel_root() const { return root_; }

  Descriptor perform(const op::ReadOnce& o, Anywhere) {
    expect_table(o.slot, "read");
    const auto found = memory_.find(o.slot.value);
    return Descriptor{found == memory_.end() ? 0 : found->second};
  }
  void perform(const op::WriteOnce& o, Anywhere) {
    if (o.value.valid() && read_once(o.slot).valid()) fault("a valid descriptor is overwritten");
    expect_table(o.slot, "write");
    ++stores;
    log += o.value.none() ? 'c' : 'w';
    if (o.value.none())
      memory_.erase(o.slot.value);
    else
      memory_[o.slot.value] = o.value.bits;
  }
  Descriptor perform(const op::Cmpxchg& o, Anywhere) { return machine::in_two_steps(*this, o); }
  Descriptor perform(const op::FetchUpdate& o, Anywhere) { return machine::in_two_steps(*this, o); }
  void perform(const op::Dmb&, Anywhere) { log += 'm'; }
  void perform(const op::Dsb& o, Anywhere) { log += "nNsD"[static_cast<unsigned>(o.kind)]; }
  void perform(const op::Isb&, Anywhere) { log += 'I'; }
  /// l, r: leaves of a page, of a range; t, T: tables too; A: all.
  void perform(const op::Tlbi& o, Anywhere) {
    tlbis.push_back(o.tlbi);
    if (o.tlbi.op.target == vmsa::TlbiTarget::all)
      log += 'A';
    else if (o.tlbi.op.range)
      log += o.tlbi.op.last_level ? 'r' : 'T';
    else
      log += o.tlbi.op.last_level ? 'l' : 't';
    if (!o.tlbi.op.broadcast || (o.tlbi.op.by_asid() && !features_.repeat_tlbi))
      fault("a kernel flush that is local or of one ASID");
    if (o.tlbi.op.by_va() && o.tlbi.page_shift != r.page_shift) fault("another granule");
  }
  machine::Access perform(const op::Load&, Anywhere) { return {}; }
  machine::Access perform(const op::Store&, Anywhere) { return {}; }

  PhysAddr perform(const op::AllocPages& o, Anywhere) {
    if (o.order > 0 && no_blocks) return {};
    const int n = fail_at;
    if (n == 0 && !keeps_failing) fail_at = -1;
    if (n > 0) --fail_at;
    if (n == 0) return {};
    const std::uint64_t size = r.page_size() << o.order;
    PhysAddr page;
    if (!free_[o.order].empty()) {
      page = free_[o.order].back();
      free_[o.order].pop_back();
    } else {
      next_ = next_.align_up(size);
      page = next_;
      next_ += size;
    }
    pages_[page.value] = {o.use, o.order};
    memory_[page.value + 8] = 0xdead'0000'0000'0403;  // what somebody left
    return page;
  }
  void perform(const op::ClearPage& o, Anywhere) {
    log += 'z';
    std::erase_if(memory_, [&](const auto& w) { return w.first - o.page.value < r.page_size(); });
  }
  /// F a table, f pages of vmemmap.
  void perform(const op::FreePages& o, Anywhere) {
    log += o.use == PageUse::table ? 'F' : 'f';
    const auto found = pages_.find(o.page.value);
    if (found == pages_.end() || found->second.use != o.use || found->second.order != o.order)
      return fault("a page is freed that was not allocated so");
    pages_.erase(found);
    free_[o.order].push_back(o.page);
  }
  void perform(const op::DeferFree& o, Anywhere) {
    log += 'd';
    deferred_.push_back({o.page, o.use, o.order});
  }
  machine::Deferred perform(const op::TakeDeferred&, Anywhere) {
    if (deferred_.empty()) return {};
    const auto d = deferred_.back();
    deferred_.pop_back();
    return d;
  }
  void perform(const op::ReleaseRange&, Anywhere) { log += 'X'; }
  void perform(const op::MemblockAdd& o, Anywhere) { memblock_.push_back(o.range); }
  void perform(const op::MemblockRemove& o, Anywhere) {
    log += 'm';
    std::erase(memblock_, o.range);
  }
  bool perform(const op::PfnValid& o, Anywhere) {
    return std::any_of(memblock_.begin(), memblock_.end(), [&](PhysRange m) { return m.contains(o.pa); });
  }
  void perform(const op::TakeLock&, Anywhere) { ++locks_; }
  void perform(const op::DropLock&, Anywhere) { --locks_; }
  void perform(const op::TakeLockShared&, Anywhere) { ++locks_; }
  void perform(const op::DropLockShared&, Anywhere) { --locks_; }
  void perform(const op::CondResched&, Anywhere) {}
  void perform(const op::Warn& o, Anywhere) { fault(o.what); }
  void enter(const char*) {}
  void leave(const std::uint64_t*, std::size_t) {}

  /// The tree as it stands: every valid entry by level and address.
  using Tree = std::map<std::pair<int, std::uint64_t>, Descriptor>;
  Tree tree() {
    Tree t;
    grow(t, root_, r.root_level(), r.base());
    return t;
  }
  std::optional<std::pair<Level, Descriptor>> leaf_at(VirtAddr va) {
    PhysAddr table = root_;
    for (Level level = r.root_level();; level = level.next()) {
      const Descriptor d = read_once(vmsa::slot_address(r, table, level, va));
      if (d.is_leaf(level)) return std::pair(level, d);
      if (!d.is_table(level)) return std::nullopt;
      table = vmsa::output_address(r, level, d);
    }
  }

 private:
  struct Page {
    PageUse use;
    unsigned order;
  };
  std::size_t count(PageUse use) const {
    std::size_t n = 0;
    for (const auto& [page, p] : pages_) n += p.use == use ? 1 : 0;
    return n;
  }
  void fault(const std::string& what) {
    if (faults.size() < 10) faults.push_back(what);
  }
  void expect_table(PhysAddr pa, const char* access) {
    const auto found = pages_.find(pa.align_down(r.page_size()).value);
    if (found == pages_.end() || found->second.use != PageUse::table)
      fault(std::string("a ") + access + " outside of any table");
  }
  void grow(Tree& t, PhysAddr table, Level level, VirtAddr va) {
    for (unsigned i = 0; i < r.entry_count(level); ++i, va += r.span(level)) {
      const Descriptor d = read_once(table + i * sizeof(Descriptor));
      if (!d.none()) t[{level.value, va.value}] = d;
      if (d.is_table(level)) grow(t, vmsa::output_address(r, level, d), level.next(), va);
    }
  }

  PhysAddr root_;
  PhysAddr next_{std::uint64_t{1} << 44};  // apart from the memory that is plugged
  std::unordered_map<std::uint64_t, std::uint64_t> memory_;
  std::map<std::uint64_t, Page> pages_;
  std::map<unsigned, std::vector<PhysAddr>> free_;
  std::vector<machine::Deferred> deferred_;
  std::vector<PhysRange> memblock_;
  int locks_ = 0;
};

static_assert(machine::Machine<RecordingMachine>);

}  // namespace shootdown::mm
