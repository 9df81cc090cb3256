// SPDX-License-Identifier: MIT
// A trace judged again as if one instruction had never been executed, and how the life of each stale value went:
// what made its end visible, what invalidated it, what completed that and for whom. For saying why a missing instruction
// harms nobody.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "audit/judge/judge.hpp"
#include "audit/trace/file.hpp"

namespace shootdown::audit::test {

/// Names a stale value across replays of one trace.
struct EntryKey {
  std::uint64_t event = 0;  ///< that made it stale
  std::uint64_t slot = 0;
  std::uint64_t value = 0;
  friend auto operator<=>(const EntryKey&, const EntryKey&) = default;
};

/// An instruction: its address (0: none) and its name, such as "TLBI VAAE1IS in free_empty_tables".
struct Step {
  std::uint64_t pc = 0;
  std::uint32_t text = 0;  ///< in Replay::texts
};

enum class End : std::uint8_t { invalidated, current, still_stale };

struct Life {
  End end = End::still_stale;
  Step visible;  ///< the barrier after the store
  Step tlbi;
  Step dsb;
  Step isb;
};

struct Replay {
  std::vector<Violation> violations;
  std::map<EntryKey, Life> lives;
  std::vector<std::string> texts;
};

/// `without`: the address of a TLBI, DSB or ISB whose events are left out; 0 for none.
Expected<Replay> replay(const TraceReader& trace, std::uint64_t without);

/// Why nobody misses the instruction: how the values that it served went when it was left out. Empty when it is
/// missed.
std::string why_harmless(const Replay& sound, const Replay& without, std::uint64_t pc);

}  // namespace shootdown::audit::test
