// SPDX-License-Identifier: MIT
// Follows a guest's events and judges them by the rules of shadow/: the harm is the finding, the cause its
// explanation. One pass, in order, from a running guest or from a trace.
#pragma once

#include <array>
#include <boost/unordered/unordered_flat_set.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "audit/judge/near_miss.hpp"
#include "audit/judge/profile.hpp"
#include "audit/judge/stacks.hpp"
#include "audit/judge/stale_set.hpp"
#include "audit/judge/tables.hpp"
#include "audit/judge/threads.hpp"
#include "audit/result.hpp"
#include "audit/trace/event.hpp"
#include "audit/trace/file.hpp"

namespace shootdown::audit {

class Judge {
 public:
  Judge(const TraceHeader& header, Symbolizer symbolizer);

  void event(const Event& e);
  /// Decodes and judges a chunk; false when it is damaged.
  bool chunk(std::span<const std::uint8_t> bytes);

  /// The guest has come to its end, and was not stopped on its way: what is not done by now is not done.
  void ended();
  AuditResult result();
  /// A call stack of some event passed through this function.
  bool reached(std::string_view function) { return stacks_.any_passes_through(function); }
  Stacks& stacks() { return stacks_; }

  /// Tells how each stale value ends. What is still stale at the end: stale().
  void on_entry_dropped(StaleSet::OnDropped fn) { entry_dropped_ = std::move(fn); }
  const StaleSet& stale() const { return stale_; }
  /// How many exceptions from EL1 the thread on this CPU is in.
  unsigned depth(unsigned cpu) const { return cpus_[cpu].depth; }

 private:
  static constexpr std::uint8_t depth_max = 3;
  static constexpr std::size_t issued_max = 64;
  struct Cpu {
    bool online = false;  ///< has turned its MMU on: only then can it hold anything
    std::uint64_t ttbr0 = 0;
    std::uint64_t ttbr1 = 0;
    std::uint64_t tcr = 0;
    /// The last barrier (event) that ordered earlier stores before a TLBI, local or broadcast, by how deep in
    /// exceptions it may have been: one inside a handler is no merit of the interrupted code.
    struct Drained {
      std::uint64_t local = 0;
      std::uint64_t broadcast = 0;
    };
    std::array<Drained, depth_max + 1> drained{};
    std::uint64_t task = 0;
    std::uint32_t thread = 0;                 ///< the same in Threads
    std::uint8_t depth = 0;                   ///< exceptions from EL1 that the running thread is in
    bool in_user = false;                     ///< runs user code at this moment
    bool flushes_all_here = false;            ///< a TLBI of everything was issued and is not yet complete
    bool flushes_all = false;                 ///< the same, broadcast
    std::uint64_t episode = 0;                ///< of the running thread, as in Birth
    std::array<Issued, issued_max> issued{};  ///< the last TLBIs
    std::size_t issued_count = 0;
  };
  struct Who {
    std::uint8_t cpu = 0;
    std::uint32_t thread = 0;  ///< in Threads
    std::uint32_t stack = 0;
  };
  /// A thread inside a system call whose return promises that permissions are changed.
  struct PermissionCall {
    std::uint32_t stack = 0;       ///< of its entry
    std::vector<EntryId> changed;  ///< leaves that it has made stale
  };
  struct Harmed {
    shadow::Harm harm;
    shadow::Cause cause;
    StaleEntry entry;  ///< as it was then
    std::string what;  ///< "page 0x... was released"
    Who by;
    CpuSet holders;
    EntryId id{};
    std::string near;  ///< what came closest to covering the entry, and why it did not
  };
  /// A thread that does not run: how deep in exceptions it is, and its episode.
  struct Parked {
    std::uint8_t depth = 0;
    std::uint64_t episode = 0;
  };

  Deed deed_of(const Event& e) const { return {event_count_, e.stack, e.cpu, e.op, cpus_[e.cpu].depth}; }
  Who who(const Event& e) const { return {e.cpu, cpus_[e.cpu].thread, e.stack}; }
  CpuSet possible_holders(const Context& c) const;
  CpuSet possible_holders(CpuSet of, Level level, Descriptor d) const;
  Descriptor as_held(const StaleEntry& entry) const;
  Harmed harmed(const Event& e, shadow::Harm harm, EntryId id, const StaleEntry& entry, std::string what);
  std::uint16_t asid_now(const Cpu& c) const;
  void system_register(const Event& e);
  void add_table(const Event& e);
  /// A store to a slot, where it stands at `place`.
  struct Change {
    const Context& context;
    Place place;
    PhysAddr slot;
    Descriptor old;
    Descriptor now;
  };
  void store(const Event& e);
  void store_linked(const Change& change, const Event& e, const Birth& birth);
  void ran_user_code(std::uint16_t asid, unsigned cpu);
  void retire(const Change& change, const Birth& birth);
  void store_unlinked(const Slot& slot, Descriptor now, const Birth& birth);
  void check_exposed(const Change& change, const Event& e);
  void tlbi(const Event& e);
  void dsb(const Event& e);
  void exception(const Event& e);
  void task(const Event& e);
  void release(const Event& e);
  void released_while_linked(const Event& e, const Table& table);
  void released_while_mapped(const Event& e);
  void released_leaf(const Event& e, EntryId id, const StaleEntry& entry);
  void user(const Event& e);
  void copied(const Event& e);
  void permissions_changed(const Event& e, const PermissionCall& call);
  bool group_refills(const StaleEntry& entry);
  bool refills_through(const StaleEntry& table, const StaleEntry& entry);
  std::optional<Tables::Leaf> instead_of(const StaleEntry& entry);
  bool still_mapped(const StaleEntry& entry);
  void defer(Harmed harmed);
  bool is_lazy_unmap(std::uint32_t stack);
  void report(const Harmed& harmed);
  std::string issued_since(const Harmed& harmed);
  std::vector<std::string> splat(const Harmed& harmed);
  std::vector<std::string> maintenance_reached();

  TraceHeader header_;
  Stacks stacks_;
  Threads threads_;
  Tables tables_;
  StaleSet stale_;
  StaleSet::OnDropped entry_dropped_;
  Profile profile_;
  std::array<Cpu, max_cpus> cpus_{};
  CpuSet online_;
  CpuSet sets_access_flag_;  ///< CPUs whose walks do
  CpuSet sets_dirty_state_;
  boost::unordered_flat_map<std::uint64_t, Parked> parked_;  ///< by thread
  std::optional<std::uint64_t> remover_;                     ///< the thread inside arch_remove_memory()
  std::uint64_t event_count_ = 0;
  std::uint64_t time_us_ = 0;
  std::uint64_t stale_max_ = 0;
  std::uint64_t deferred_count_ = 0;
  std::uint64_t early_count_ = 0;
  std::uint64_t judged_store_count_ = 0;
  std::uint64_t release_count_ = 0;
  boost::unordered_flat_set<std::uint32_t> tlbi_stacks_;
  bool saw_other_tlbi_ = false;
  /// Kernel page-table isolation: a process has a second ASID, the odd one, with which its user code runs.
  bool two_asids_ = false;
  boost::unordered_flat_set<std::uint64_t> reported_;  ///< entries
  /// What harms only if a CPU that may hold the entry runs its process again: memory given back, or a page copied,
  /// while it may still be reached. By ASID.
  boost::unordered_flat_map<std::uint16_t, std::vector<Harmed>> deferred_;
  boost::unordered_flat_map<std::uint64_t, PermissionCall> calls_;  ///< by thread
  boost::unordered_flat_map<std::uint64_t, Harmed>
      left_mapped_;  ///< by slot: live over a page that was freed
  boost::unordered_flat_set<std::uint64_t>
      boot_aliases_;  ///< slots whose leaf maps whatever is allocated there
  std::map<std::uint32_t, bool> lazy_stacks_;
  std::map<std::tuple<shadow::Harm, shadow::Cause, std::string, std::string>, Violation> violations_;
};

}  // namespace shootdown::audit
