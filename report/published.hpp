// SPDX-License-Identifier: MIT
// What the posts published, beside our estimate of the same case, and whether ours was fitted to it or predicts it.
#pragma once

#include <optional>
#include <string_view>

#include "report/time.hpp"

namespace shootdown::report {

struct Published {
  std::string_view figure;  ///< as posted
  std::string_view ours;    ///< where our figure comes from
};

/// The published result of a case, if the case was published at all.
inline std::optional<Published> published_for(const TimeResult& r) {
  constexpr auto gib = [](std::uint64_t n) { return timed::Bytes(n << 30); };
  const bool posted_machine = r.scenario == "hot-remove" && r.page_shift == 12 && r.mapping == "pages" &&
                              !r.erratum && !r.blocks_one_by_one && r.profile == "neoverse-v2-72" &&
                              r.cpus == 72 && r.sockets == 1 && r.load == "compute";
  // "[RFC] arm64: mmu: use range based TLB flushing when hot unplugging memory" (A. Popple, May 2026): 480 GB. Page
  // size and machine are not stated; docs/cost.md argues for 4K pages. Its patch as posted is R0.
  if (posted_machine && r.memory == gib(480)) {
    if (r.strategy == "P") return Published{"~60 s", "fitted: broadcast.base"};
    if (r.strategy == "R0") return Published{"~1 s", "fitted: memory.*"};
    return std::nullopt;
  }
  // 48478b9f7913 (v7.1): time in unmap_hotplug_range(), 2 GB, a KVM guest.
  if (posted_machine && r.memory == gib(2) && r.strategy == "B")
    return Published{"-97 % (in a VM)", "predicted"};
  return std::nullopt;
}

}  // namespace shootdown::report
