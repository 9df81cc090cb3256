// SPDX-License-Identifier: MIT
// Strategy: the three forms of `boot` results, character by character where others parse them.
#include "report/boot.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace shootdown::report {
namespace {

using testing::HasSubstr;

BootResult passed() {
  BootResult r{.strategy = "B",
               .cpus = 4,
               .memory_bytes = std::uint64_t{1} << 30,
               .mapping = "pages",
               .vmemmap = "block",
               .cpu_model = "max",
               .failures = {},
               .counts = {},
               .time_ratio = 0.5};
  r.counts.tlbi[vmsa::tlbi_index(vmsa::vaale1is)] = 8;
  r.counts.tlbi[vmsa::tlbi_index(vmsa::vaae1is)] = 513;
  r.counts.dsb = {0, 0, 522, 522};
  r.counts.isb = 522;
  r.counts.descriptor_stores = 262665;
  r.counts.tables_freed = 513;
  return r;
}
BootResult failed() {
  BootResult r = passed();
  r.strategy = "R0";
  r.stale_accesses = 3;
  r.failures = {"3 loads after the removal went through a stale translation"};
  r.time_ratio.reset();
  return r;
}

TEST(BootJson, KeysInTheirOrder) {
  EXPECT_EQ(
      boot_json(passed()).dump(),
      R"({"command":"boot","scenario":"hot-remove","strategy":"B","granule":"4k","va_bits":48,"cpus":4,)"
      R"("memory_bytes":1073741824,"mapping":"pages","vmemmap":"block","verdict":"pass","stale_accesses":0,)"
      R"("counts":{"tlbi":{"VAAE1IS":513,"VAALE1IS":8},"dsb":{"ISHST":522,"ISH":522},"isb":522,"sgi":0,)"
      R"("descriptor_stores":262665,"tables_freed":513,"instructions":null},"tables_retained":0,)"
      R"("time_ratio":0.5,"failures":[]})");
}

TEST(BootJson, AFailureSaysWhy) {
  const auto json = boot_json(failed());
  EXPECT_EQ(json["verdict"], "fail");
  EXPECT_EQ(json["stale_accesses"], 3);
  EXPECT_TRUE(json["time_ratio"].is_null());
  EXPECT_EQ(json["failures"].size(), 1u);
}

TEST(BootKtap, PlanDiagnosticsAndResults) {
  std::ostringstream out;
  write_boot_ktap(out, {passed(), failed()});
  EXPECT_EQ(out.str(),
            "KTAP version 1\n1..2\n"
            "ok 1 hot-remove.B.4k-48.pages.vmemmap-block.4cpu.1G\n"
            "# 3 loads after the removal went through a stale translation\n"
            "not ok 2 hot-remove.R0.4k-48.pages.vmemmap-block.4cpu.1G\n");
}

TEST(BootText, OneTableForOneMachine) {
  std::ostringstream out;
  BootResult other = passed();
  other.page_shift = 14;
  write_boot_text(out, {passed(), failed(), other}, {});
  const std::string text = out.str();
  EXPECT_THAT(
      text, HasSubstr("hot-remove of 1G, 4k pages, 48-bit VA, linear map by pages, vmemmap by block; 4 CPUs, "
                      "QEMU -cpu max\n"));
  EXPECT_THAT(text, HasSubstr("hot-remove of 1G, 16k pages"));
  EXPECT_THAT(text, HasSubstr("513 VAAE1IS, 8 VAALE1IS"));
  EXPECT_THAT(text, HasSubstr("FAIL"));
  EXPECT_THAT(text, HasSubstr("\n    3 loads after the removal went through a stale translation\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("\x1b")));
}

TEST(BootText, NothingForNoResults) {
  std::ostringstream out;
  write_boot_text(out, {}, {});
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace shootdown::report
