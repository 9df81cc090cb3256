// SPDX-License-Identifier: MIT
// What the posts published, beside our estimate for the same case: the figure, and whether ours was fitted to it.
#pragma once

#include <optional>

#include "report/time.hpp"

namespace shootdown::report {

struct Published {
  const char* text;
  bool fitted;  ///< one of our figures was chosen to meet it; otherwise our result is a prediction
};

/// The published result of a case, if there is one.
inline std::optional<Published> published_for(const TimeResult& r) {
  // "[RFC] arm64: mmu: use range based TLB flushing when hot unplugging memory" (A. Popple, May 2026): 480 GB. Page
  // size and machine are not stated; docs/timed.md argues for 4K pages. Its patch as posted is R0.
  const bool rfc = r.scenario == "hot-remove" && r.memory == timed::Bytes(std::uint64_t{480} << 30) &&
                   r.page_shift == 12 && r.mapping == "pages" && !r.erratum && !r.blocks_one_by_one &&
                   r.profile == "neoverse-v2-72" && r.cpus == 72;
  if (!rfc) return std::nullopt;
  if (r.strategy == "P") return Published{"~60 s (ours: fitted)", true};
  if (r.strategy == "R0") return Published{"~1 s (ours: part fitted)", true};
  return std::nullopt;
}

}  // namespace shootdown::report
