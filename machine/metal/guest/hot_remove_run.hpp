// SPDX-License-Identifier: MIT
// The experiment hot-remove on real instructions: hot-add, use by every CPU, hot-remove by one strategy while the
// others keep translations warm, then proof on every CPU that nothing translates any more. It gathers facts; what
// they should have been is decided on the host.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "machine/metal/guest/gic.hpp"
#include "machine/metal/guest/kernel_tree.hpp"
#include "machine/metal/guest/metal_machine.hpp"
#include "machine/metal/guest/options.hpp"
#include "mm/hot_add.hpp"
#include "mm/vmalloc.hpp"

namespace shootdown::metal::guest {

using vmsa::Level;
using vmsa::Regime;
using vmsa::VirtRange;

/// Drops every translation on every CPU: between experiments, so that one leaves nothing to the next.
inline void flush_all_tlbs() {
  dsb_ishst();
  detail::tlbi_table[vmsa::tlbi_index(vmsa::vmalle1is)](0);
  dsb_ish();
  isb();
}

/// What one CPU saw.
struct Observations {
  std::uint64_t bad_values = 0;       ///< use: a load that read something else than was stored, or faulted
  std::uint64_t watch_loads = 0;      ///< loads of warm addresses while the removal was under way ...
  std::uint64_t watch_faults = 0;     ///< ... that faulted, which they may
  std::uint64_t freed_reads = 0;      ///< ... that read a page of vmemmap which had been freed
  std::uint64_t stale_accesses = 0;   ///< after the removal: loads that did not fault
  std::uint64_t expected_faults = 0;  ///< ... that faulted as the tables say
  std::uint64_t other_faults = 0;     ///< ... that faulted in another way or at another address
  std::uint64_t bad_fault_esr = 0;    ///< the last of those
  std::uint64_t bad_fault_va = 0;

  void add(const Observations& o) {
    bad_values += o.bad_values;
    watch_loads += o.watch_loads;
    watch_faults += o.watch_faults;
    freed_reads += o.freed_reads;
    stale_accesses += o.stale_accesses;
    expected_faults += o.expected_faults;
    other_faults += o.other_faults;
    if (o.other_faults != 0) bad_fault_esr = o.bad_fault_esr, bad_fault_va = o.bad_fault_va;
  }
};

/// Where the removal stands and what to remove; shared by the CPUs of one run.
template <Regime R>
class HotRemoveRun {
 public:
  HotRemoveRun(Shared& shared, const Options& options, const mm::MemoryMap& map, vmsa::PhysRange range,
               const mm::Strategy& strategy)
      : shared_(shared),
        options_(options),
        map_(map),
        range_(range),
        linear_(map.linear(range)),
        vmemmap_(map.vmemmap(R, range)),
        plan_{strategy, options.rule},
        machine_(shared, 0) {}

  void run() {
    const TreeSummary before = tree();
    const PageCounts pages_before = shared_.pages.counts();
    phase("add");
    if (!add()) return;
    add_ticks_ = ticks_;
    const Work add_work = machine_.work();
    const TreeSummary added = tree();
    phase("use");
    run_on_all([](void* self) { static_cast<HotRemoveRun*>(self)->use(); }, this);
    phase("remove");
    run_on_all([](void* self) { static_cast<HotRemoveRun*>(self)->remove_and_probe(); }, this);
    const Work remove_work = machine_.work();
    flush_all_tlbs();
    const TreeSummary after = tree();
    const PageCounts pages_after = shared_.pages.counts();

    Line line("result");
    line.text("strategy", plan_.strategy.name);
    report_observations(line);
    report_work(line, add_work, remove_work);
    line.boolean("tree_restored", before.exact == after.exact && before.table_count == after.table_count)
        .number("tables_retained", pages_after.table_pages - pages_before.table_pages)
        .number("empty_tables_before", before.empty_count)
        .number("empty_tables", after.empty_count)
        .number("leaves_added", added.leaf_count - before.leaf_count)
        .boolean("vmemmap_pages_restored", pages_after.vmemmap_pages == pages_before.vmemmap_pages)
        .number("free_pages_lost", pages_before.free_pages - pages_after.free_pages)
        .boolean("memblock_restored", !shared_.memblock.contains(range_.start));
    if (options_.again) report_again(line, added, after, pages_after);
    line.number("warnings", shared_.warning_count.exchange(0)).write();
  }

 private:
  static constexpr unsigned warm_count = 16;

  TreeSummary tree() const {
    return summarize(R, shared_.kernel_root, map_.layout.linear, MetalMachine::read_descriptor);
  }
  void phase(const char* name) const {
    Line("phase").text("strategy", plan_.strategy.name).text("name", name).write();
  }

  bool add() {
    machine_.reset_work();
    const std::uint64_t start = read_counter();
    const bool added = mm::add_memory<R>(machine_, map_, range_, mm::mappings[options_.mapping],
                                         {mm::strategies[3], options_.rule});
    ticks_ = read_counter() - start;
    if (!added) Line("refused").text("what", "hot-add failed: boot memory is too small").write();
    return added;
  }

  static std::uint64_t pattern(VirtAddr va) { return va.value ^ 0x5d0c0de5d0c0de; }

  /// Every page of the range, linear map first: body(va, number).
  template <typename Body>
  void for_each_page(Body&& body) const {
    std::uint64_t number = 0;
    for (VirtRange part : {linear_, vmemmap_})
      for (VirtAddr va = part.start; va != part.end; va += R.page_size()) body(va, number++);
  }

  /// Each page is written by one CPU and read by the others.
  void use() {
    const unsigned self = this_cpu().index;
    Observations& seen = seen_[self];
    for_each_page([&](VirtAddr va, std::uint64_t n) {
      if (n % cpu_count() == self) seen.bad_values += probe_store(va.value, pattern(va));
    });
    barrier();
    for_each_page([&](VirtAddr va, std::uint64_t n) {
      if (n % cpu_count() == self && cpu_count() > 1) return;
      const ProbeResult r = probe_load(va.value);
      if (r.faulted || r.value != pattern(va)) ++seen.bad_values;
    });
  }

  /// A few pages that this CPU keeps in its TLB: spread over the range, never the first of a table, whose address
  /// every table free invalidates, and not the same on every CPU.
  template <typename Body>
  void for_each_warm(Body&& body) const {
    for (VirtRange part : {linear_, vmemmap_}) {
      const std::uint64_t pages = part.size() >> R.page_shift;
      for (unsigned i = 0; i < warm_count && i < pages; ++i) {
        const std::uint64_t offset = 3 + 5 * this_cpu().index + 11 * i;
        body(part.start + ((i * (pages / warm_count) + offset) % pages << R.page_shift));
      }
    }
  }

  void touch_warm(Observations& seen) {
    for_each_warm([&](VirtAddr va) {
      const ProbeResult r = probe_load(va.value);
      ++seen.watch_loads;
      seen.watch_faults += r.faulted;
      if (!r.faulted && vmemmap_.contains(va) && r.value == MetalMachine::poison) ++seen.freed_reads;
    });
  }

  /// CPU 0 removes; the others touch their warm pages now and then until it is done. Then all probe.
  void remove_and_probe() {
    Observations& seen = seen_[this_cpu().index];
    touch_warm(seen);
    barrier();
    if (this_cpu().index == 0) {
      mark<Mark::teardown_begin>();
      remove(plan_);
      mark<Mark::teardown_end>();
      remove_ticks_ = ticks_;
      removed_.store(true, std::memory_order_release);
      if (cpu_count() > 1) wake_others();
    } else {
      watch(seen);
    }
    // Warm pages first: anything else could evict what is to be found.
    for_each_warm([&](VirtAddr va) { probe(va, expected_fault(va), seen); });
    probe_all(seen);
  }

  void remove(const mm::RemovePlan& plan) {
    machine_.reset_work();
    const std::uint64_t start = read_counter();
    mm::try_remove_memory<R>(machine_, map_, range_, plan);
    ticks_ = read_counter() - start;
  }

  /// Rounds of touching with pauses between them, short ones first: a removal that takes a millisecond is watched
  /// closely, one that takes seconds is not slowed down.
  void watch(Observations& seen) {
    const std::uint64_t longest = read_counter_frequency() / 1'000'000 * options_.watch_us;
    for (std::uint64_t pause = longest / 32; !removed_.load(std::memory_order_acquire);) {
      touch_warm(seen);
      const std::uint64_t deadline = read_counter() + pause;
      start_timer(pause);
      wait_until([&] { return removed_.load(std::memory_order_acquire) || read_counter() >= deadline; });
      pause = pause * 5 / 4 < longest ? pause * 5 / 4 + 1 : longest;
    }
  }

  /// The fault status that the tables lead to for `va` (a translation fault at the level of the hole), and how
  /// far that holds; a status of 0 when it is still mapped.
  struct ExpectedFault {
    std::uint64_t dfsc;
    VirtAddr end;
  };
  ExpectedFault expected_fault(VirtAddr va) const {
    const Lookup found = look_up(R, shared_.kernel_root, va, MetalMachine::read_descriptor);
    const VirtAddr end = va.align_down(R.span(found.level)) + R.span(found.level);
    if (found.mapped) return {0, end};
    // Translation faults: 0b0001LL, and 0b101011 for level -1.
    return {found.level.value < 0 ? 0x2b : 4 + static_cast<std::uint64_t>(found.level.value), end};
  }

  void probe(VirtAddr va, ExpectedFault expected, Observations& seen) {
    const ProbeResult r = probe_load(va.value);
    if (!r.faulted) {
      ++seen.stale_accesses;
      return;
    }
    const Cpu& cpu = this_cpu();
    if ((cpu.fault_esr & 0x3f) == expected.dfsc && cpu.fault_far == va.value) {
      ++seen.expected_faults;
      return;
    }
    ++seen.other_faults;
    seen.bad_fault_esr = cpu.fault_esr;
    seen.bad_fault_va = va.value;
  }

  void probe_all(Observations& seen) {
    for (VirtRange part : {linear_, vmemmap_}) {
      ExpectedFault expected{0, part.start};
      for (VirtAddr va = part.start; va != part.end; va += R.page_size()) {
        if (va == expected.end) expected = expected_fault(va);
        probe(va, expected, seen);
      }
    }
  }

  void report_observations(Line& line) const {
    Observations all;
    for (unsigned i = 0; i < cpu_count(); ++i) all.add(seen_[i]);
    line.number("stale_accesses", all.stale_accesses)
        .number("freed_reads", all.freed_reads)
        .number("expected_faults", all.expected_faults)
        .number("other_faults", all.other_faults)
        .hex("bad_fault_esr", all.bad_fault_esr)
        .hex("bad_fault_va", all.bad_fault_va)
        .number("bad_values", all.bad_values)
        .number("watch_loads", all.watch_loads)
        .number("watch_faults", all.watch_faults);
  }

  void report_work(Line& line, const Work& add, const Work& remove) const {
    const report::Counts& counts = remove.counts;
    line.begin("tlbi");
    for (unsigned i = 0; i < counts.tlbi.size(); ++i)
      if (counts.tlbi[i] != 0) line.number(vmsa::tlbi_name(vmsa::tlbi_ops[i]).c_str(), counts.tlbi[i]);
    line.end().begin("dsb");
    for (unsigned i = 0; i < counts.dsb.size(); ++i)
      if (counts.dsb[i] != 0) line.number(machine::dsb_names[i], counts.dsb[i]);
    line.end()
        .number("isb", counts.isb)
        .number("sgi", counts.sgi)  // the procedure's; those of this harness are not among them
        .number("descriptor_stores", counts.descriptor_stores)
        .number("tables_freed", counts.tables_freed)
        .number("tables_allocated", add.tables_allocated)
        .number("released_bytes", remove.released_bytes)
        .number("add_ticks", add_ticks_)
        .number("remove_ticks", remove_ticks_);
  }

  /// Add once more: the tree must be the same. Remove by B: nothing must be left over.
  void report_again(Line& line, const TreeSummary& added, const TreeSummary& after,
                    const PageCounts& pages_after) {
    phase("again");
    if (!add()) return;
    const TreeSummary added_again = tree();
    remove({mm::strategies[3], options_.rule});
    flush_all_tlbs();
    const TreeSummary after_again = tree();
    line.boolean("again_identical", added_again.shape == added.shape &&
                                        added_again.leaf_count == added.leaf_count &&
                                        added_again.table_count == added.table_count)
        .boolean("again_restored", after_again.exact == after.exact && shared_.pages.counts() == pages_after);
  }

  Shared& shared_;
  const Options& options_;
  const mm::MemoryMap map_;
  const vmsa::PhysRange range_;
  const VirtRange linear_;
  const VirtRange vmemmap_;
  const mm::RemovePlan plan_;
  MetalMachine machine_;
  std::atomic<bool> removed_{false};
  std::array<Observations, max_cpus> seen_{};
  std::uint64_t ticks_ = 0;
  std::uint64_t add_ticks_ = 0;
  std::uint64_t remove_ticks_ = 0;
};

/// What else is mapped in the kernel half: boot memory with its vmemmap, and the last page of vmalloc.
template <Regime R>
bool map_neighbours(Shared& shared, const Options& options, const mm::MemoryMap& map, vmsa::PhysRange boot) {
  MetalMachine m(shared, 0);
  m.memblock_add(boot);
  if (!options.neighbours) return true;
  const PhysAddr page = m.alloc_pages(PageUse::data, 0);
  return mm::create_linear_map<R>(m, map, boot, mm::mappings[options.mapping]) &&
         mm::add_pages<R>(m, map, boot) && page != PhysAddr{} &&
         mm::vmap_page<R>(m, map.layout.vmalloc_end - R.page_size(), page);
}

/// Every strategy that was asked for, one after the other on the same machine.
template <Regime R>
void run_hot_remove(Shared& shared, const Options& options, const mm::MemoryMap& map, vmsa::PhysRange boot) {
  if (!map_neighbours<R>(shared, options, map, boot)) panic("boot memory is too small for its own mappings");
  const vmsa::PhysRange range{boot.end, boot.end + options.memory};
  for (unsigned i = 0; i < options.run_count; ++i)
    HotRemoveRun<R>(shared, options, map, range, mm::strategies[options.strategies[i]]).run();
}

/// The same for a regime known at run time; false when it is none of this file's caller. One a page size, so that
/// they compile side by side.
bool run_hot_remove_4k(Shared& shared, const Options& options, const mm::MemoryMap& map,
                       vmsa::PhysRange boot);
bool run_hot_remove_16k(Shared& shared, const Options& options, const mm::MemoryMap& map,
                        vmsa::PhysRange boot);
bool run_hot_remove_64k(Shared& shared, const Options& options, const mm::MemoryMap& map,
                        vmsa::PhysRange boot);

namespace detail {
template <unsigned PageShift, unsigned VaBits>
bool run_if(Shared& shared, const Options& options, const mm::MemoryMap& map, vmsa::PhysRange boot) {
  if (options.page_shift != PageShift || options.va_bits != VaBits) return false;
  run_hot_remove<vmsa::regime(PageShift, VaBits)>(shared, options, map, boot);
  return true;
}
}  // namespace detail

}  // namespace shootdown::metal::guest
