// SPDX-License-Identifier: MIT
// Counts and call sites of the workload's window, from the same events that the judge reads. Counts nothing
// outside the window.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "audit/judge/stacks.hpp"
#include "audit/result.hpp"
#include "audit/trace/event.hpp"

namespace shootdown::audit {

class Profile {
 public:
  /// `phases`: the names of the workload's phases, by number.
  Profile(unsigned cpus, std::span<const std::string_view> phases);

  bool in_window() const { return in_window_; }
  void mark(const Event& e);
  void tlbi(const Event& e, std::uint64_t pages, bool redundant);
  void tlbi_other();
  void dsb(const Event& e);
  void isb();
  void sgi(const Event& e);
  void descriptor_store();
  void table_freed();
  void stale_for(std::uint64_t us);
  /// The next event is (or is not) of the thread inside arch_remove_memory().
  void in_teardown(bool is) { in_teardown_ = is; }
  void teardown_ended(std::uint64_t instructions);

  void fill(AuditResult& result, Stacks& stacks) const;

 private:
  struct Site {
    std::uint64_t count = 0;
    std::uint64_t redundant = 0;
    std::uint64_t repeated = 0;
    std::uint64_t pages = 0;
  };
  /// TLBIs by op, then DSBs by CRm, then SGIs.
  enum : std::uint32_t { first_dsb = 64, sgi_site = 96 };
  Site& site(std::uint32_t operation, std::uint32_t stack) {
    return sites_[std::uint64_t{operation} << 32 | stack];
  }
  template <typename Fn>
  void count(Fn&& fn) {
    if (!in_window_) return;
    fn(window_);
    if (phase_) fn(phases_[*phase_]);
    if (in_teardown_) fn(teardown_);
  }
  static void add_dsb(Phase& p, unsigned crm);

  unsigned cpus_;
  bool in_window_ = false;
  std::optional<std::size_t> phase_;
  bool in_teardown_ = false;
  Phase window_;
  Phase teardown_;
  std::vector<Phase> phases_;
  std::uint64_t window_started_ = 0;
  std::uint64_t phase_started_ = 0;
  std::array<std::uint64_t, 32> stale_us_{};
  boost::unordered_flat_map<std::uint64_t, Site> sites_;
  std::array<Event, max_cpus> last_tlbi_{};
};

}  // namespace shootdown::audit
