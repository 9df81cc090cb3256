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

using machine::Dsb;
using machine::PageUse;
using vmsa::Descriptor;
using vmsa::Level;
using vmsa::PhysAddr;
using vmsa::PhysRange;
using vmsa::Regime;
using vmsa::VirtAddr;
using vmsa::VirtRange;

class RecordingMachine {
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

  Descriptor read_once(PhysAddr pa) {
    expect_table(pa, "read");
    const auto found = memory_.find(pa.value);
    return Descriptor{found == memory_.end() ? 0 : found->second};
  }
  void write_once(PhysAddr pa, Descriptor d) {
    if (d.valid() && read_once(pa).valid()) fault("a valid descriptor is overwritten");
    expect_table(pa, "write");
    ++stores;
    log += d.none() ? 'c' : 'w';
    if (d.none())
      memory_.erase(pa.value);
    else
      memory_[pa.value] = d.bits;
  }
  Descriptor cmpxchg(PhysAddr pa, Descriptor expected, Descriptor desired) {
    const Descriptor old = read_once(pa);
    if (old == expected) write_once(pa, desired);
    return old;
  }
  void dsb(Dsb kind) { log += "nNsD"[static_cast<unsigned>(kind)]; }
  void isb() { log += 'I'; }
  /// l, r: leaves of a page, of a range; t, T: tables too; A: all.
  void tlbi(const vmsa::Tlbi& t) {
    tlbis.push_back(t);
    if (t.op.target == vmsa::TlbiTarget::all)
      log += 'A';
    else if (t.op.range)
      log += t.op.last_level ? 'r' : 'T';
    else
      log += t.op.last_level ? 'l' : 't';
    if (!t.op.broadcast || (t.op.by_asid() && !features_.repeat_tlbi))
      fault("a kernel flush that is local or of one ASID");
    if (t.op.by_va() && t.page_shift != r.page_shift) fault("another granule");
  }
  machine::Access load(VirtAddr) { return {}; }
  machine::Access store(VirtAddr, std::uint64_t) { return {}; }

  PhysAddr alloc_pages(PageUse use, unsigned order) {
    if (order > 0 && no_blocks) return {};
    const int n = fail_at;
    if (n == 0 && !keeps_failing) fail_at = -1;
    if (n > 0) --fail_at;
    if (n == 0) return {};
    const std::uint64_t size = r.page_size() << order;
    PhysAddr page;
    if (!free_[order].empty()) {
      page = free_[order].back();
      free_[order].pop_back();
    } else {
      next_ = next_.align_up(size);
      page = next_;
      next_ += size;
    }
    pages_[page.value] = {use, order};
    memory_[page.value + 8] = 0xdead'0000'0000'0403;  // what somebody left
    return page;
  }
  void clear_page(PhysAddr page) {
    log += 'z';
    std::erase_if(memory_, [&](const auto& w) { return w.first - page.value < r.page_size(); });
  }
  /// F a table, f pages of vmemmap.
  void free_pages(PhysAddr page, PageUse use, unsigned order) {
    log += use == PageUse::table ? 'F' : 'f';
    const auto found = pages_.find(page.value);
    if (found == pages_.end() || found->second.use != use || found->second.order != order)
      return fault("a page is freed that was not allocated so");
    pages_.erase(found);
    free_[order].push_back(page);
  }
  void defer_free(PhysAddr page, PageUse use, unsigned order) {
    log += 'd';
    deferred_.push_back({page, use, order});
  }
  machine::Exemplar::Deferred take_deferred() {
    if (deferred_.empty()) return {};
    const auto d = deferred_.back();
    deferred_.pop_back();
    return d;
  }
  void release_range(PhysRange) { log += 'X'; }
  void memblock_add(PhysRange range) { memblock_.push_back(range); }
  void memblock_remove(PhysRange range) {
    log += 'm';
    std::erase(memblock_, range);
  }
  bool pfn_valid(PhysAddr pa) {
    return std::any_of(memblock_.begin(), memblock_.end(), [&](PhysRange m) { return m.contains(pa); });
  }
  void lock(machine::Lock) { ++locks_; }
  void unlock(machine::Lock) { --locks_; }
  void lock_shared(machine::Lock) { ++locks_; }
  void unlock_shared(machine::Lock) { --locks_; }
  void cond_resched() {}
  void warn(const char* what) { fault(what); }
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
  std::vector<machine::Exemplar::Deferred> deferred_;
  std::vector<PhysRange> memblock_;
  int locks_ = 0;
};

static_assert(machine::Machine<RecordingMachine>);

}  // namespace shootdown::mm
