// SPDX-License-Identifier: MIT
// What happens when an instruction of interest is executed: registers are read, tables followed, events
// recorded. One lock: events of several CPUs are recorded in the order in which they took it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "audit/plugin/instruction.hpp"
#include "audit/plugin/qemu_api.hpp"
#include "audit/plugin/stack_cache.hpp"
#include "audit/plugin/struct_page.hpp"
#include "audit/plugin/table_map.hpp"
#include "audit/plugin/teardown_meter.hpp"

namespace shootdown::audit::plugin {

/// An instruction to be told about, with what was known of it at translation.
struct Site {
  Instruction instruction;
  std::uint64_t pc = 0;
  std::uint64_t ahead = 0;  ///< of its block, itself included: counted already when it is executed
};

class Watcher {
 public:
  /// `symbols` is a file of "hexadecimal-address name" lines: the functions by whose execution memory is given
  /// back. False with a message for QEMU's log when something is missing.
  bool open(const char* ram_path, std::uint64_t ram_start, std::uint64_t ram_bytes, int fd,
            const char* symbols);
  /// Where a thread's task_struct has its pid and name, which are recorded then.
  void name_threads(std::uint64_t pid_offset, std::uint64_t comm_offset) {
    pid_offset_ = pid_offset, comm_offset_ = comm_offset;
  }

  void add_cpu(unsigned cpu);
  /// The site for an instruction, if it is of interest; the same one each time it is translated.
  Site* site_of(std::uint64_t pc, std::uint32_t opcode, std::uint64_t ahead);
  /// Kernel code, and the code that runs before and while the MMU is turned on: its stores are watched.
  bool is_kernel_code(std::uint64_t pc) const { return pc >> 63 != 0 || ram_.contains(pc); }

  void executed(unsigned cpu, const Site& site);
  void stored(unsigned cpu, qemu_plugin_meminfo_t info, std::uint64_t va, std::uint64_t pc);
  void flush();

  qemu_plugin_u64 instruction_counter() const { return instructions_; }

 private:
  struct Cpu {
    std::vector<qemu_plugin_register*> registers;  ///< x0 to x30
    std::uint64_t ttbr0 = 0;
    std::uint64_t ttbr1 = 0;
    std::uint64_t tcr = 0;
    std::uint64_t task = 0;
    std::uint64_t zeroed_page = 0;  ///< a table's, written by DC ZVA and not yet recorded
    std::uint32_t zeroed_by = 0;    ///< stack
  };

  /// A pid, and the name's two halves.
  using ThreadName = std::array<std::uint64_t, 3>;

  bool is_of_interest(std::uint64_t pc, std::uint32_t opcode, Instruction& wanted) const;
  void load_symbols(const char* path);
  void place(std::uint64_t address, Action action, std::uint16_t op = 0);
  std::uint64_t read_register(unsigned cpu, unsigned n);
  std::uint32_t stack_at(unsigned cpu, std::uint64_t pc);
  Translation kernel_tables(unsigned cpu) const;
  std::uint64_t read_kernel(unsigned cpu, std::uint64_t va, unsigned bytes) const;
  void put(unsigned cpu, EventKind kind, unsigned op, std::uint32_t stack, std::uint64_t a, std::uint64_t b);
  /// Instructions that this CPU executed before the one at this site.
  std::uint64_t count_at(unsigned cpu, const Site& site) const;
  void name_thread(unsigned cpu, std::uint64_t task);
  void system_register(unsigned cpu, const Site& site, std::uint64_t value);
  void zero_block(unsigned cpu, const Site& site, std::uint64_t va);
  void record_zeroed(unsigned cpu);
  void free_pages(unsigned cpu, const Site& site, std::uint64_t struct_page, unsigned order, Release how);
  void free_batch(unsigned cpu, const Site& site, std::uint64_t batch);
  void copy_page(unsigned cpu, const Site& site, std::uint64_t from);
  void free_root(unsigned cpu, const Site& site, std::uint64_t root);
  std::uint64_t store_address(unsigned cpu, qemu_plugin_meminfo_t info, std::uint64_t va);

  std::mutex mutex_;
  GuestRam ram_;
  EventPipe pipe_;
  TableMap tables_{ram_, pipe_};
  StackCache stacks_{ram_, pipe_};
  VmemmapFinder vmemmap_;
  std::vector<Cpu> cpus_{max_cpus};
  std::unordered_map<std::uint64_t, Instruction> places_;                ///< by address
  std::unordered_multimap<std::uint64_t, std::unique_ptr<Site>> sites_;  ///< by pc: code may be patched
  TeardownMeter meter_;
  std::uint64_t remover_ = 0;     ///< the task that is in a watched function
  std::uint64_t pid_offset_ = 0;  ///< 0: not known
  std::uint64_t comm_offset_ = 0;
  std::unordered_map<std::uint64_t, ThreadName> thread_names_;
  std::uint64_t removed_start_ = 0;
  std::uint64_t removed_bytes_ = 0;
  GByteArray* scratch_ = nullptr;
  qemu_plugin_u64 instructions_{};
  unsigned linear_checks_ = 0;
  bool linear_is_plain_ = true;
};

}  // namespace shootdown::audit::plugin
