// SPDX-License-Identifier: MIT
// Any bytes as a trace, read and judged to the end: refused, or judged, in bounded memory.
// Links: audit
#include <cstddef>
#include <cstdint>
#include <vector>

#include "audit/judge/judge.hpp"
#include "audit/trace/file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shootdown::audit;
  // The first byte chooses between a whole file and the events of a chunk, which a fuzzer would hardly reach
  // through the compression.
  if (size == 0) return 0;
  const std::vector<std::uint8_t> bytes(data + 1, data + size);
  if (data[0] % 2 == 0) {
    const auto trace = TraceReader::parse(bytes, "fuzz");
    for (std::size_t i = 0; trace && i < trace->frame_count(); ++i) (void)trace->frame(i);
    return 0;
  }
  const TraceHeader header{.kernel = "k",
                           .release = "r",
                           .workload = "munmap",
                           .cpu_model = "c",
                           .cpus = 4,
                           .page_shift = data[0] % 4 == 1 ? 12u : 14u,
                           .memory_bytes = 0,
                           .ram_start = 0x40000000,
                           .ram_bytes = 1 << 30};
  Judge judge(header, [](std::uint64_t) { return "f+0x0/0x10"; });
  (void)judge.chunk(bytes);
  judge.ended();
  (void)judge.result();
  return 0;
}
