// SPDX-License-Identifier: MIT
// Strategy: facts that pass, and then one fact wrong at a time: each must be named, and nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "scenario/boot.hpp"

namespace shootdown::scenario {
namespace {

using metal::GuestResult;
using metal::GuestStart;

constexpr std::uint64_t gib = std::uint64_t{1} << 30;
const GuestStart start{.page_shift = 12,
                       .va_bits = 48,
                       .cpus = 4,
                       .memory_bytes = gib,
                       .boot_base = gib,
                       .counter_hz = 1000,
                       .range_tlbi = true,
                       .hardware_access_flag = true,
                       .bbm_level = 2};

GuestResult good() {
  const ExpectedCounts e = expected(BootCase{}, start, "B");
  GuestResult r;
  r.strategy = "B";
  r.counts = e.counts;
  r.expected_faults = 4 * (262144 + 4096 + 16 + 16);
  r.tables_allocated = 513;
  r.released_bytes = gib;
  r.leaves_added = 262152;
  r.tree_restored = r.vmemmap_pages_restored = r.memblock_restored = true;
  r.again_identical = r.again_restored = true;
  return r;
}

std::vector<std::string> failures(const std::function<void(GuestResult&)>& change) {
  GuestResult r = good();
  change(r);
  return judge(BootCase{}, start, r).failures;
}

TEST(Judge, GoodFactsPass) {
  const report::BootResult r = judge(BootCase{}, start, good());
  EXPECT_TRUE(r.passed()) << testing::PrintToString(r.failures);
  EXPECT_EQ(r.stale_accesses, 0u);
  EXPECT_EQ(r.vmemmap, "block");
}

TEST(Judge, EachFactAlone) {
  using R = GuestResult;
  const std::pair<std::function<void(R&)>, std::vector<std::string>> cases[] = {
      {[](R& r) { ++r.stale_accesses, --r.expected_faults; },
       {"1 loads after the removal went through a stale translation"}},
      {[](R& r) { r.freed_reads = 2; },
       {"2 loads during the removal read a vmemmap page that had been freed already"}},
      {[](R& r) {
         ++r.other_faults, --r.expected_faults, r.bad_fault_esr = "0x9600000f", r.bad_fault_va = "0xff";
       },
       {"1 loads after the removal faulted otherwise than the tables say; the last at 0xff with ESR "
        "0x9600000f"}},
      {[](R& r) { --r.expected_faults; }, {"loads after the removal: 1065087 counted, 1065088 expected"}},
      {[](R& r) { r.bad_values = 7; }, {"7 loads of the new memory did not read what was stored"}},
      {[](R& r) { ++r.counts.tlbi[vmsa::tlbi_index(vmsa::vaale1is)]; },
       {"TLBI VAALE1IS: 9 counted, 8 expected"}},
      {[](R& r) { --r.counts.dsb[3]; }, {"DSB ISH: 521 counted, 522 expected"}},
      {[](R& r) { --r.counts.isb; }, {"ISB: 521 counted, 522 expected"}},
      {[](R& r) { ++r.counts.sgi; }, {"SGI: 1 counted, 0 expected"}},
      {[](R& r) { ++r.counts.descriptor_stores; }, {"descriptor stores: 262666 counted, 262665 expected"}},
      {[](R& r) { --r.leaves_added; }, {"leaves added: 262151 counted, 262152 expected"}},
      {[](R& r) { r.tree_restored = false; }, {"the tables are not what they were before the hot-add"}},
      {[](R& r) { r.tables_kept = 1; }, {"a table page was neither freed nor is it linked any more"}},
      {[](R& r) { r.free_pages_lost = -1; }, {"free memory did not come back"}},
      {[](R& r) { r.vmemmap_pages_restored = false; }, {"pages of vmemmap were not freed"}},
      {[](R& r) { r.memblock_restored = false; }, {"memblock still holds the range"}},
      {[](R& r) { r.released_bytes = 2 * gib; }, {"the range was not released exactly once"}},
      {[](R& r) { r.again_identical = false; }, {"a second hot-add built other tables"}},
      {[](R& r) { r.again_restored.reset(); }, {"a second removal left something behind"}},
      {[](R& r) { r.warnings = 1; }, {"1 warnings of the procedure"}},
  };
  for (const auto& [change, expected_failures] : cases) EXPECT_EQ(failures(change), expected_failures);
}

TEST(Judge, ALeakedTableIsNamedTwice) {
  EXPECT_EQ(failures([](GuestResult& r) { --r.counts.tables_freed; }),
            (std::vector<std::string>{"tables freed: 512 counted, 513 expected",
                                      "tables allocated and tables freed do not add up"}));
  EXPECT_THAT(failures([](GuestResult& r) { r.empty_tables = 1; }),
              testing::Contains("empty tables kept: 1 counted, 0 expected"));
}

TEST(Judge, ReadsOfFreedPagesAreStaleAccesses) {
  GuestResult r = good();
  r.freed_reads = 5;
  EXPECT_EQ(judge(BootCase{}, start, r).stale_accesses, 5u);
}

TEST(BootCase, BootMemoryGrowsWithWhatIsPlugged) {
  BootCase c;
  EXPECT_EQ(boot_memory_bytes(c), gib);
  c.memory_bytes = 32 * gib;
  EXPECT_EQ(boot_memory_bytes(c), gib);
  c.memory_bytes = 33 * gib;
  EXPECT_EQ(boot_memory_bytes(c), 2 * gib);
}

}  // namespace
}  // namespace shootdown::scenario
