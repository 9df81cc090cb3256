// SPDX-License-Identifier: MIT
// Strategy: the two commands, each as a user starts it, must count the same: all safe strategies at a gibibyte with
// each page size, then at a few memory blocks what changes the counts: mappings, base pages of vmemmap, no range
// operations, the repeat-TLBI erratum.
#include "tests/cli/same_counts.hpp"
#include "tests/metal/boots.hpp"

namespace shootdown::tests {
namespace {

SameRemoval removal(const std::string& granule, const std::string& va_bits, const std::string& memory) {
  return {{"--granule", granule, "--va-bits", va_bits, "--cpus", "4", "--memory", memory}};
}

SameRemoval with(SameRemoval r, const std::vector<std::string>& options) {
  r.options.insert(r.options.end(), options.begin(), options.end());
  return r;
}

TEST(SameCounts, AGibibyteWithEachPageSize) {
  SHOOTDOWN_BOOTS_ELSEWHERE();
  expect_same_counts(removal("4k", "48", "1G"));
  expect_same_counts(removal("16k", "47", "1G"));
  expect_same_counts(removal("64k", "48", "1G"));
}

TEST(SameCounts, EachMappingOnce) {
  SHOOTDOWN_BOOTS_ELSEWHERE();
  expect_same_counts(with(removal("16k", "47", "384M"), {"--mapping", "contpte"}));
  expect_same_counts(with(removal("4k", "48", "384M"), {"--mapping", "blocks"}));
  expect_same_counts(with(removal("64k", "48", "1G"), {"--mapping", "contpmd"}));
}

TEST(SameCounts, VmemmapByPages) {
  SHOOTDOWN_BOOTS_ELSEWHERE();
  expect_same_counts(with(removal("4k", "48", "256M"), {"--vmemmap", "pages"}));
}

TEST(SameCounts, WithoutRangeOperations) {
  SHOOTDOWN_BOOTS_ELSEWHERE();
  SameRemoval r = removal("4k", "48", "256M");
  r.boot_only = {"--no-range-tlbi"};
  r.time_only = {"--profile", "small-8"};
  expect_same_counts(r);
}

TEST(SameCounts, WithTheRepeatTlbiErratum) {
  SHOOTDOWN_BOOTS_ELSEWHERE();
  SameRemoval r = removal("4k", "48", "256M");
  r.boot_only = {"--repeat-tlbi"};
  r.time_only = {"--erratum", "on"};
  expect_same_counts(r);
}

TEST(SameCountsNegative, ADifferenceIsNamed) {
  const auto counts = [](const char* text) { return nlohmann::json::parse(text); };
  const auto one = counts(R"({"tlbi":{"VAALE1IS":8},"isb":3,"sgi":0,"instructions":null})");
  using Lines = std::vector<std::string>;
  EXPECT_EQ(differences(one, one), Lines{"instructions: unknown to both"});
  EXPECT_EQ(differences(one, counts(R"({"tlbi":{"VAALE1IS":7,"VAAE1IS":1},"isb":null,"sgi":0})")),
            (Lines{"instructions: unknown to boot", "isb: unknown to time", "tlbi.VAAE1IS: boot none, time 1",
                   "tlbi.VAALE1IS: boot 8, time 7"}));
}

}  // namespace
}  // namespace shootdown::tests
