// SPDX-License-Identifier: MIT
// Strategy: the whole campaign over broken kernels for four workloads. Each mutant is caught, kills or hangs its
// guest, or has a reason that the unbroken kernel's own trace gives; and where the trace, judged without the
// instruction, shows a violation, the broken kernel shows one.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "tests/audit/campaign.hpp"

namespace shootdown::audit::test {
namespace {

namespace fs = std::filesystem;

std::vector<CampaignRow> campaign(const std::string& workload, std::uint64_t memory_bytes) {
  const fs::path folder =
      fs::temp_directory_path() / fmt::format("shootdown-campaign.{}.{}", workload, getpid());
  fs::create_directories(folder);
  Campaign c;
  c.request.kernel = "debian:6.12";
  c.request.workload = workload;
  c.request.memory_bytes = memory_bytes;
  c.request.programs_dir = SHOOTDOWN_BINARY_DIR;
  c.folder = folder;
  c.rows = folder / "rows.ndjson";
  c.tell = [](std::string_view line) { std::cerr << line << '\n'; };
  auto rows = run_campaign(c);
  fs::remove_all(folder);
  EXPECT_TRUE(rows) << rows.error().message;
  if (!rows) return {};
  write_markdown(std::cout, *rows);
  return std::move(*rows);
}

void expect_explained(const std::vector<CampaignRow>& rows) {
  EXPECT_TRUE(std::ranges::any_of(rows, [](const CampaignRow& r) { return r.result == "caught"; }));
  for (const CampaignRow& r : rows) {
    EXPECT_NE(r.result, "unexplained") << r.operation << " in " << r.place;
    EXPECT_TRUE(r.predicted.empty() || r.result != "harmless") << r.operation << " in " << r.place;
  }
}

TEST(CampaignLong, HotUnplug) { expect_explained(campaign("hot-unplug", 256 << 20)); }
TEST(CampaignLong, Munmap) { expect_explained(campaign("munmap", 16 << 20)); }
TEST(CampaignLong, ForkWriteFault) { expect_explained(campaign("fork-write-fault", 4 << 20)); }
TEST(CampaignLong, Mprotect) { expect_explained(campaign("mprotect", 8 << 20)); }

}  // namespace
}  // namespace shootdown::audit::test
