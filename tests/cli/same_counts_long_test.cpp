// SPDX-License-Identifier: MIT
// Strategy: as same_counts_test.cpp, at a size where one flush of everything replaces the ranges, and with every VA
// size.
#include "tests/cli/same_counts.hpp"
#include "tests/metal/boots.hpp"

namespace shootdown::tests {
namespace {

TEST(SameCountsLong, MoreThanTheRangesCover) {
  SHOOTDOWN_BOOTS_ELSEWHERE();
  // Not 8 GiB, the largest range: QEMU 10.0 then invalidates nothing (docs/metal.md), and B and L rightly fail.
  expect_same_counts({{"--granule", "4k", "--va-bits", "48", "--cpus", "4", "--memory", "9G"}});
}

TEST(SameCountsLong, EveryMappingWithEachPageSize) {
  SHOOTDOWN_BOOTS_ELSEWHERE();
  for (const char* mapping : {"contpte", "blocks", "contpmd"})
    for (const char* granule : {"4k", "16k", "64k"})
      expect_same_counts(
          {{"--granule", granule, "--va-bits", "48", "--cpus", "4", "--memory", "1G", "--mapping", mapping}});
}

TEST(SameCountsLong, EveryRegime) {
  SHOOTDOWN_BOOTS_ELSEWHERE();
  for (const vmsa::Regime& r : vmsa::regimes)
    expect_same_counts(
        {{"--granule", std::to_string(r.page_size() >> 10) + "k", "--va-bits", std::to_string(r.va_bits),
          "--cpus", "2", "--memory", std::to_string(3 * r.section_size())}});
}

}  // namespace
}  // namespace shootdown::tests
