// SPDX-License-Identifier: MIT
// What guest and host say to each other: lines on the console, and marks in the instruction stream.
// Included by both sides; holds names and numbers only.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace shootdown::audit::protocol {

/// Guest lines begin with this, whatever the kernel printed before it on the same line:
/// `ready RELEASE`, `plug BYTES`, `unplug`, `done`, `fail REASON`.
inline constexpr std::string_view prefix = "@shootdown ";

/// A mark is `movz xzr, #n`: architecturally nothing, seen by the plugin at translation.
enum class Mark : std::uint16_t {
  window_begin = 0x5d01,
  window_end = 0x5d02,
  phase_first = 0x5d10,  ///< phase_first + i: the workload's phase i begins
};
inline constexpr std::uint16_t mark_count = 0x20;

constexpr std::uint32_t mark_instruction(std::uint16_t n) { return 0xd280001fu | std::uint32_t{n} << 5; }

/// A workload of the kit: its name on the command line, what it does, its default size, its phases' names.
struct Workload {
  std::string_view name;
  std::string_view summary;
  std::uint64_t memory_bytes;
  std::array<std::string_view, 4> phases;
};

inline constexpr std::array<Workload, 6> workloads{{
    {"hot-unplug",
     "hot-add memory through virtio-mem, then take it away",
     std::uint64_t{1} << 30,
     {"unplug"}},
    {"fork-write-fault",
     "fork, write the shared pages in the child, then in the parent",
     std::uint64_t{64} << 20,
     {"copies", "reuses"}},
    {"munmap",
     "map, touch and unmap, with page tables freed, while other threads run",
     std::uint64_t{64} << 20,
     {"sparse", "dense"}},
    {"hugetlb",
     "allocate huge pages, demote them where the kernel can, map them, free them",
     std::uint64_t{128} << 20,
     {"allocate", "demote", "map", "free"}},
    {"mprotect",
     "take write permission away and give it back, while other threads write",
     std::uint64_t{32} << 20,
     {"restrict", "relax"}},
    {"thp",
     "fault in transparent huge pages, split them, collapse them again",
     std::uint64_t{16} << 20,
     {"fault", "split", "collapse"}},
}};

}  // namespace shootdown::audit::protocol
