// SPDX-License-Identifier: MIT
// The hardware figures that prices are made of: what each one is, its unit and the range that anybody could
// believe. Values are in profiles/*.toml; what they do is in prices.cpp and system.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "machine/timed/units.hpp"

namespace shootdown::timed {

enum class Param : std::uint8_t {
  broadcast_base,
  broadcast_per_cpu,
  broadcast_per_socket,
  broadcast_service,
  broadcast_issue,
  broadcast_queue_depth,
  broadcast_backpressure,
  range_factor,
  range_per_64_pages,
  flush_all_factor,
  barrier_store,
  barrier_idle,
  isb,
  local_flush,
  receive_stall,
  tlb_entries,
  tlb_in_use,
  walk_cached,
  walk_memory,
  walk_memory_share,
  broadcast_interval,
  descriptor_read,
  descriptor_set,
  descriptor_clear,
  line_near,
  line_far,
  page_alloc,
  page_free,
  page_clear,
  page_defer,
  lock,
  reschedule,
  ipi_base,
  ipi_per_cpu_broadcast,
  ipi_per_cpu_looped,
  ipi_handler,
  pause_base,
  pause_per_cpu_looped,
  pause_per_cpu_bitmap,
  pause_per_cpu_counter,
  stop_machine_base,
  stop_machine_per_cpu,
  interrupts_off_longest,
  interrupts_off_share,
  rcu_grace_period,
  rcu_expedited,
  rcu_callback,
  rcu_stall_timeout,
};
inline constexpr std::size_t param_count = 48;

enum class Dimension : std::uint8_t { time, count, ratio };

/// `low` and `high` bound what a profile may say: nanoseconds, or a plain number.
struct ParamInfo {
  Param param;
  std::string_view group;  ///< the table of the profile that it stands in
  std::string_view key;
  Dimension dimension;
  double low;
  double high;
  std::string_view meaning;
};

// Bounds are wide on purpose: they catch a wrong unit, not an unusual machine.
inline constexpr std::array<ParamInfo, param_count> param_infos{{
    {Param::broadcast_base, "broadcast", "base", Dimension::time, 20, 20e3,
     "TLBI ..IS and the DSB ISH that completes it, one issuer, before growth with CPUs and sockets"},
    {Param::broadcast_per_cpu, "broadcast", "per_cpu", Dimension::time, 0, 100, "growth with each CPU"},
    {Param::broadcast_per_socket, "broadcast", "per_extra_socket", Dimension::time, 0, 20e3,
     "growth with each socket after the first"},
    {Param::broadcast_service, "broadcast", "service", Dimension::time, 10, 50e3,
     "system-wide time per completed broadcast when several CPUs issue"},
    {Param::broadcast_issue, "broadcast", "issue", Dimension::time, 1, 5e3,
     "issuing one TLBI without waiting"},
    {Param::broadcast_queue_depth, "broadcast", "queue_depth", Dimension::count, 1, 1024,
     "operations in flight before issuing has to wait"},
    {Param::broadcast_backpressure, "broadcast", "backpressure", Dimension::ratio, 0.01, 4,
     "time per operation once the queue is full, as a share of `service`"},
    {Param::range_factor, "broadcast", "range_factor", Dimension::ratio, 0.5, 20,
     "a range operation compared with one by address"},
    {Param::range_per_64_pages, "broadcast", "range_per_64_pages", Dimension::time, 0, 1e3,
     "what a range operation adds for each 64 pages that it searches"},
    {Param::flush_all_factor, "broadcast", "flush_all_factor", Dimension::ratio, 0.5, 20,
     "VMALLE1IS or ASIDE1IS compared with one by address"},
    {Param::barrier_store, "barrier", "stores", Dimension::time, 0, 1e3, "DSB ISHST or NSHST"},
    {Param::barrier_idle, "barrier", "idle", Dimension::time, 0, 1e3, "DSB ISH with no TLBI outstanding"},
    {Param::isb, "barrier", "isb", Dimension::time, 0, 1e3, "ISB"},
    {Param::local_flush, "barrier", "local_flush", Dimension::time, 1, 5e3, "local TLBI and DSB NSH"},
    {Param::receive_stall, "bystander", "receive_stall", Dimension::time, 0, 10e3,
     "what one broadcast steals from each other CPU"},
    {Param::tlb_entries, "bystander", "tlb_entries", Dimension::count, 16, 65536,
     "entries of the last-level TLB"},
    {Param::tlb_in_use, "bystander", "tlb_in_use", Dimension::ratio, 0, 1,
     "share of them that the CPU's load comes back to"},
    {Param::walk_cached, "bystander", "walk_cached", Dimension::time, 1, 1e3, "table walk that hits a cache"},
    {Param::walk_memory, "bystander", "walk_memory", Dimension::time, 10, 5e3,
     "table walk that goes to memory"},
    {Param::walk_memory_share, "bystander", "walk_memory_share", Dimension::ratio, 0, 1,
     "share of walks that go to memory"},
    {Param::broadcast_interval, "bystander", "broadcast_interval", Dimension::time, 100, 1e9,
     "own work between two broadcasts of a CPU with the load mprotect"},
    {Param::descriptor_read, "memory", "descriptor_read", Dimension::time, 0, 200,
     "reading and testing one descriptor of a line that is at hand"},
    {Param::descriptor_set, "memory", "descriptor_set", Dimension::time, 0, 500,
     "writing one valid descriptor"},
    {Param::descriptor_clear, "memory", "descriptor_clear", Dimension::time, 0, 500,
     "clearing one descriptor, the step of the walk included"},
    {Param::line_near, "memory", "line_near", Dimension::time, 0, 500, "going on to a cache line in the L2"},
    {Param::line_far, "memory", "line_far", Dimension::time, 0, 2e3,
     "going on to a cache line beyond the L2, in address order"},
    {Param::page_alloc, "memory", "page_alloc", Dimension::time, 0, 100e3,
     "allocating a page or a block of pages"},
    {Param::page_free, "memory", "page_free", Dimension::time, 0, 100e3, "freeing one"},
    {Param::page_clear, "memory", "page_clear", Dimension::time, 1, 100e3, "zeroing 4 KiB"},
    {Param::page_defer, "memory", "page_defer", Dimension::time, 0, 10e3,
     "putting a page on a list and taking it off"},
    {Param::lock, "kernel", "lock", Dimension::time, 0, 100e3, "taking and releasing an uncontended lock"},
    {Param::reschedule, "kernel", "reschedule", Dimension::time, 0, 100e3,
     "cond_resched() with nothing to run"},
    {Param::ipi_base, "interrupt", "base", Dimension::time, 50, 100e3,
     "interrupting one CPU and hearing back"},
    {Param::ipi_per_cpu_broadcast, "interrupt", "per_cpu_broadcast", Dimension::time, 0, 10e3,
     "growth with each CPU, one SGI to all but self"},
    {Param::ipi_per_cpu_looped, "interrupt", "per_cpu_looped", Dimension::time, 0, 10e3,
     "growth with each CPU, an SGI each"},
    {Param::ipi_handler, "interrupt", "handler", Dimension::time, 10, 1e6,
     "entry, handler and return on the target"},
    {Param::pause_base, "interrupt", "pause_base", Dimension::time, 50, 1e6,
     "pausing and resuming, the fixed part"},
    {Param::pause_per_cpu_looped, "interrupt", "pause_per_cpu_looped", Dimension::time, 0, 10e3,
     "pausing each CPU, an SGI each"},
    {Param::pause_per_cpu_bitmap, "interrupt", "pause_per_cpu_bitmap", Dimension::time, 0, 10e3,
     "pausing each CPU, broadcast SGI and CPU bitmaps"},
    {Param::pause_per_cpu_counter, "interrupt", "pause_per_cpu_counter", Dimension::time, 0, 10e3,
     "pausing each CPU, broadcast SGI, a flag and a counter"},
    {Param::stop_machine_base, "kernel", "stop_machine_base", Dimension::time, 1e3, 100e6,
     "stop_machine(), the fixed part"},
    {Param::stop_machine_per_cpu, "kernel", "stop_machine_per_cpu", Dimension::time, 0, 1e6,
     "growth with each CPU"},
    {Param::interrupts_off_longest, "kernel", "interrupts_off_longest", Dimension::time, 0, 1e9,
     "longest section of another CPU with interrupts off"},
    {Param::interrupts_off_share, "kernel", "interrupts_off_share", Dimension::ratio, 0, 1,
     "share of time that a CPU with the load syscalls has them off"},
    {Param::rcu_grace_period, "kernel", "rcu_grace_period", Dimension::time, 1e3, 10e9, "synchronize_rcu()"},
    {Param::rcu_expedited, "kernel", "rcu_expedited", Dimension::time, 1e3, 1e9,
     "synchronize_rcu_expedited()"},
    {Param::rcu_callback, "kernel", "rcu_callback", Dimension::time, 1, 100e3, "call_rcu(), enqueueing"},
    {Param::rcu_stall_timeout, "kernel", "rcu_stall_timeout", Dimension::time, 1e6, 1e12,
     "time without a quiescent state after which RCU warns"},
}};
static_assert([] {
  for (std::size_t i = 0; i < param_count; ++i)
    if (static_cast<std::size_t>(param_infos[i].param) != i) return false;
  return true;
}());

constexpr const ParamInfo& info(Param p) { return param_infos[static_cast<std::size_t>(p)]; }

/// One value for each parameter: nanoseconds or a plain number.
class ParamValues {
 public:
  double& operator[](Param p) { return values_[static_cast<std::size_t>(p)]; }
  double operator[](Param p) const { return values_[static_cast<std::size_t>(p)]; }
  Nanoseconds time(Param p) const { return Nanoseconds((*this)[p]); }

 private:
  std::array<double, param_count> values_{};
};

}  // namespace shootdown::timed
