// SPDX-License-Identifier: MIT
// Any text is either a profile that keeps its promises (finite values inside their ranges, whole numbers of CPUs) or
// is refused with one line. The corpus holds the built-in profiles' kinds of content.
// Links: machine/timed
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "machine/timed/profile_toml.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shootdown::timed;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto profile = parse_profile(text, "fuzz.toml");
  if (!profile) {
    if (profile.error().message.empty()) std::abort();
    return 0;
  }
  if (profile->cpus < 1 || profile->sockets < 1 || profile->sockets > profile->cpus) std::abort();
  for (const ParamInfo& p : param_infos) {
    const Figure& f = (*profile)[p.param];
    if (!std::isfinite(f.value) || f.low < p.low || f.high > p.high || f.value < f.low || f.value > f.high)
      std::abort();
  }
  return 0;
}
