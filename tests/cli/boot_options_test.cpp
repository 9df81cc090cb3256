// SPDX-License-Identifier: MIT
// Strategy: what a command line selects, and for each way to ask for nonsense the one line and the exit code.
// QEMU itself is played by missing files and small scripts; real boots are in tests/metal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/boot.hpp"

namespace shootdown::cli {
namespace {

using testing::HasSubstr;

std::string refused(BootOptions o) {
  std::ostringstream out, err;
  EXPECT_EQ(run_boot(o, out, err), 64);
  EXPECT_EQ(out.str(), "");
  const std::string line = err.str();
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
  return line;
}

TEST(BootOptions, Defaults) {
  const auto cases = make_boot_cases({});
  ASSERT_TRUE(cases);
  ASSERT_EQ(cases->size(), 1u);
  EXPECT_EQ(cases->front().regime, vmsa::regime(12, 48));
  EXPECT_EQ(cases->front().memory_bytes, std::uint64_t{1} << 30);
  EXPECT_EQ(cases->front().cpus, 4u);
  EXPECT_EQ(cases->front().mapping, "pages");
  EXPECT_EQ(cases->front().strategies.size(), mm::strategies.size());
}

TEST(BootOptions, PageAndVaSizes) {
  EXPECT_EQ(make_boot_cases({.granules = {"all"}})->size(), 3u);
  EXPECT_EQ(make_boot_cases({.granules = {"16k"}})->front().regime, vmsa::regime(14, 47));
  EXPECT_EQ(make_boot_cases({.granules = {"all"}, .va_bits = "all"})->size(), 10u);
  EXPECT_EQ(make_boot_cases({.granules = {"16k", "64k"}, .va_bits = "52"})->size(), 2u);
}

TEST(BootOptions, Nonsense) {
  EXPECT_THAT(refused({.scenario = "hot-remov"}), HasSubstr("did you mean 'hot-remove'"));
  EXPECT_THAT(refused({.strategies = {"Q"}}), HasSubstr("unknown strategy 'Q'"));
  EXPECT_THAT(refused({.strategies = {"freed-before-flsh"}}), HasSubstr("did you mean 'freed-before-flush'"));
  EXPECT_THAT(refused({.strategies = {"B", "B"}}), HasSubstr("given twice"));
  EXPECT_THAT(refused({.granules = {"8k"}}), HasSubstr("unknown granule '8k'"));
  EXPECT_THAT(refused({.va_bits = "47"}),
              HasSubstr("unknown VA size '47' (there are: 39 with 4k, 48 with 4k"));
  EXPECT_THAT(refused({.cpus = "0"}), HasSubstr("a number from 1 to 8"));
  EXPECT_THAT(refused({.cpus = "9"}), HasSubstr("a number from 1 to 8"));
  EXPECT_THAT(refused({.memory = "100M"}),
              HasSubstr("--memory 100M: with 4k pages memory comes in blocks of 128M; give a multiple"));
  EXPECT_THAT(refused({.granules = {"64k"}, .memory = "128M"}), HasSubstr("blocks of 512M"));
  EXPECT_THAT(refused({.memory = "0"}), HasSubstr("give a multiple"));
  EXPECT_THAT(refused({.memory = "lots"}), HasSubstr("--memory lots"));
  EXPECT_THAT(refused({.granules = {"16k"}, .va_bits = "36", .memory = "32G"}),
              HasSubstr("has room for 32G in all"));
  EXPECT_THAT(refused({.mapping = "page"}), HasSubstr("did you mean 'pages'"));
  EXPECT_THAT(refused({.granules = {"16k"}, .vmemmap = "block"}), HasSubstr("4k pages only"));
  EXPECT_THAT(refused({.va_bits = "52", .layout = "old"}), HasSubstr("--layout today"));
  EXPECT_THAT(refused({.table_rule = "v8"}), HasSubstr("unknown table rule 'v8'"));
  EXPECT_THAT(refused({.format = "xml"}), HasSubstr("unknown format 'xml'"));
  EXPECT_THAT(refused({.timeout = "soon"}), HasSubstr("--timeout 'soon'"));
}

/// A machine that is none: an image that exists, and a script in QEMU's place.
class FakeQemu : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "shootdown-boot-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    std::ofstream(folder_ / "image") << "no image";
    options_.image = folder_ / "image";
    options_.qemu = folder_ / "qemu";
    options_.timeout = "1";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  int run(const std::string& script) {
    if (!script.empty()) {
      std::ofstream(options_.qemu) << "#!/bin/sh\n" << script << '\n';
      ::chmod(options_.qemu.c_str(), 0755);
    }
    std::ostringstream out, err;
    const int code = run_boot(options_, out, err);
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  std::filesystem::path folder_;
  BootOptions options_;
  std::string out_, err_;
};

TEST_F(FakeQemu, Missing) {
  options_.granules = {"all"};
  EXPECT_EQ(run(""), 69);
  EXPECT_THAT(err_, HasSubstr("install the package qemu-system-arm"));
  EXPECT_EQ(std::count(err_.begin(), err_.end(), '\n'), 1) << "said once, not for each page size";
}

TEST_F(FakeQemu, Hangs) {
  EXPECT_EQ(run("echo hello from the firmware; sleep 100"), 75);
  EXPECT_THAT(err_, HasSubstr("the guest did not end within 1 s before the image was up"));
  EXPECT_THAT(err_, HasSubstr("\n  | hello from the firmware\n"));
}

TEST_F(FakeQemu, LacksAPageSizeAndTheOthersGoOn) {
  options_.granules = {"16k", "64k"};
  options_.cpu = "cortex-a72";
  EXPECT_EQ(run("case \"$*\" in *sd.page=14*) echo '{\"metal\":\"unsupported\",\"what\":\"16K pages\"}';; *) "
                "exit 0;; esac"),
            69);
  EXPECT_THAT(err_, HasSubstr("boot with 16k pages, 47-bit VA: CPU model cortex-a72 has no 16K pages"));
  EXPECT_THAT(err_, HasSubstr("boot with 64k pages, 48-bit VA: the guest ended without a word"));
}

TEST_F(FakeQemu, AnotherBuildsImage) {
  EXPECT_EQ(
      run("echo "
          "'{\"metal\":\"start\",\"version\":1,\"page_shift\":16,\"va_bits\":48,\"cpus\":4,\"memory_bytes\":"
          "1073741824,\"boot_base\":1073741824,\"counter_hz\":1,\"range_tlbi\":true,\"hardware_access_flag\":"
          "true,"
          "\"bbm_level\":0}'; echo '{\"metal\":\"end\"}'"),
      75);
  EXPECT_THAT(err_, HasSubstr("the image is another build's"));
}

}  // namespace
}  // namespace shootdown::cli
