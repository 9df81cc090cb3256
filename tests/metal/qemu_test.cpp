// SPDX-License-Identifier: MIT
// Strategy: shell scripts play QEMU: one that is missing, dies, hangs, says nothing, says nonsense, floods, leaves
// children behind. Each must end in one clear line, in time, with no process left.
#include "machine/metal/qemu.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace shootdown::metal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string start_line =
    R"({"metal":"start","version":1,"page_shift":12,"va_bits":48,"cpus":4,"memory_bytes":1073741824,)"
    R"("boot_base":1073741824,"counter_hz":1000000000,"range_tlbi":true,"hardware_access_flag":true,"bbm_level":2})";
const std::string phase_line = R"({"metal":"phase","strategy":"P","name":"remove"})";
const std::string end_line = R"({"metal":"end","sgi_sent":7})";

class Qemu : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "shootdown-qemu-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    std::ofstream(folder_ / "image") << "no image";
    spec_.image = folder_ / "image";
    spec_.timeout = std::chrono::seconds(20);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  QemuRun run(const std::string& script) {
    spec_.program = write(script);
    return run_qemu(spec_);
  }
  std::string write(const std::string& script) {
    const std::string program = folder_ / "qemu";
    std::ofstream(program) << "#!/bin/sh\n" << script << '\n';
    ::chmod(program.c_str(), 0755);
    return program;
  }
  /// Process numbers that the script has left in a file, once it has.
  std::vector<pid_t> pids(std::size_t count) const {
    std::vector<pid_t> all;
    for (int i = 0; i < 500 && all.size() < count; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      all.clear();
      std::ifstream file(folder_ / "pids");
      for (pid_t pid = 0; file >> pid;) all.push_back(pid);
    }
    return all;
  }
  static bool is_gone(pid_t pid) {
    for (int i = 0; i < 500; ++i) {
      std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
      std::string number, name, state;
      if (!(file >> number >> name >> state) || state == "Z") return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  std::filesystem::path folder_;
  QemuSpec spec_;
};

TEST_F(Qemu, ACompleteRun) {
  const QemuRun r = run("echo '" + start_line + "'; echo '" + end_line + "'");
  EXPECT_EQ(r.failure, RunFailure::none) << r.message;
  EXPECT_EQ(r.message, "");
}

TEST_F(Qemu, TheCommandLine) {
  spec_.program = "qemu";
  spec_.cpu = "cortex-a72";
  spec_.cpus = 2;
  spec_.memory_bytes = (std::uint64_t{1} << 30) + 1;
  spec_.bootargs = "sd.page=12 sd.va=48";
  const std::vector<std::string> words = qemu_command(spec_);
  EXPECT_THAT(words, testing::IsSupersetOf({std::string("virt,gic-version=3"), std::string("cortex-a72"),
                                            std::string("1025M"), std::string("sd.page=12 sd.va=48"),
                                            std::string("-nodefaults"), std::string("none")}));
}

TEST_F(Qemu, Missing) {
  spec_.program = folder_ / "nowhere";
  const QemuRun r = run_qemu(spec_);
  EXPECT_EQ(r.failure, RunFailure::unavailable);
  EXPECT_THAT(r.message,
              HasSubstr("nowhere: No such file or directory; install the package qemu-system-arm"));
}

TEST_F(Qemu, NotExecutable) {
  spec_.program = spec_.image;
  const QemuRun r = run_qemu(spec_);
  EXPECT_EQ(r.failure, RunFailure::unavailable);
  EXPECT_THAT(r.message, HasSubstr("Permission denied"));
}

TEST_F(Qemu, ImageMissing) {
  spec_.image = folder_ / "no-image";
  const QemuRun r = run("echo never");
  EXPECT_EQ(r.failure, RunFailure::unavailable);
  EXPECT_THAT(r.message, HasSubstr("no-image: No such file or directory"));
}

TEST_F(Qemu, RefusesToStart) {
  const QemuRun r = run("echo 'unable to find CPU model' >&2; exit 1");
  EXPECT_EQ(r.failure, RunFailure::unavailable);
  EXPECT_THAT(r.message, HasSubstr("exited with status 1: unable to find CPU model"));
}

TEST_F(Qemu, DiesOnTheWay) {
  const QemuRun r = run("echo '" + start_line + "'; echo '" + phase_line + "'; echo oops; kill -SEGV $$");
  EXPECT_EQ(r.failure, RunFailure::died);
  EXPECT_THAT(r.message, HasSubstr("was killed by signal 11 in phase \"P: remove\""));
  EXPECT_EQ(r.last_lines.back(), "oops");
}

TEST_F(Qemu, EndsWithoutAClosingLine) {
  const QemuRun r = run("echo '" + start_line + "'; echo '" + phase_line + "'; printf '{\"metal\":\"end\"'");
  EXPECT_EQ(r.failure, RunFailure::died);
  EXPECT_EQ(r.message, "the guest ended in phase \"P: remove\" without a closing line");
  EXPECT_EQ(r.last_lines.back(), "{\"metal\":\"end\"");
}

TEST_F(Qemu, SaysNothing) {
  const QemuRun r = run("exit 0");
  EXPECT_EQ(r.failure, RunFailure::died);
  EXPECT_EQ(r.message, "the guest ended without a word on its console");
}

TEST_F(Qemu, SaysNonsense) {
  const QemuRun r = run("head -c 3000000 /dev/urandom; echo; echo last words");
  EXPECT_EQ(r.failure, RunFailure::died);
  EXPECT_EQ(r.message, "the guest ended before the image was up without a closing line");
  EXPECT_EQ(r.last_lines.back(), "last words");
  EXPECT_LE(r.last_lines.size(), GuestLog::tail_lines);
}

TEST_F(Qemu, FloodsItsErrors) {
  const QemuRun r = run("head -c 3000000 /dev/zero | tr '\\0' 'e' >&2; echo >&2; echo why >&2; exit 3");
  EXPECT_EQ(r.failure, RunFailure::unavailable);
  EXPECT_THAT(r.message, HasSubstr("exited with status 3: why"));
}

TEST_F(Qemu, ImagePanics) {
  const QemuRun r =
      run("echo '" + start_line + "'; echo '{\"metal\":\"panic\",\"what\":\"no redistributor\"}'");
  EXPECT_EQ(r.failure, RunFailure::died);
  EXPECT_EQ(r.message, "the image stopped: no redistributor");
}

TEST_F(Qemu, CpuModelLacksAPageSize) {
  spec_.cpu = "cortex-a72";
  const QemuRun r = run("echo '{\"metal\":\"unsupported\",\"what\":\"16K pages\"}'");
  EXPECT_EQ(r.failure, RunFailure::unsupported);
  EXPECT_EQ(r.message, "CPU model cortex-a72 has no 16K pages; name another with --cpu");
}

TEST_F(Qemu, HangsAndIsKilledWithItsChildren) {
  spec_.timeout = std::chrono::milliseconds(700);
  const QemuRun r = run("echo '" + start_line + "'; sleep 1000 & echo $$ $! >" + (folder_ / "pids").string() +
                        "; sleep 1000");
  EXPECT_EQ(r.failure, RunFailure::died);
  EXPECT_THAT(r.message, HasSubstr("the guest did not end within 0 s; a longer time is --timeout SECONDS"));
  const auto all = pids(2);
  ASSERT_EQ(all.size(), 2u);
  for (pid_t pid : all) EXPECT_TRUE(is_gone(pid)) << pid;
}

TEST_F(Qemu, EndsButLeavesAChildHoldingThePipes) {
  const QemuRun r = run("sleep 1000 & echo $! >" + (folder_ / "pids").string() + "; echo '" + start_line +
                        "'; echo '" + end_line + "'");
  EXPECT_EQ(r.failure, RunFailure::none) << r.message;
  const auto all = pids(1);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_TRUE(is_gone(all[0]));
}

TEST_F(Qemu, ClosesItsOutputAndLivesOn) {
  spec_.timeout = std::chrono::milliseconds(700);
  EXPECT_EQ(run("exec >&- 2>&-; sleep 1000").failure, RunFailure::died);
}

TEST_F(Qemu, Interrupted) {
  int asked = 0;
  spec_.interrupted = [&] { return ++asked > 3; };
  const QemuRun r = run("echo $$ >" + (folder_ / "pids").string() + "; sleep 1000");
  EXPECT_EQ(r.failure, RunFailure::interrupted);
  for (pid_t pid : pids(1)) EXPECT_TRUE(is_gone(pid));
}

TEST_F(Qemu, DoesNotOutliveUs) {
  spec_.program = write("echo $$ >" + (folder_ / "pids").string() + "; exec sleep 1000");
  const pid_t us = ::fork();
  if (us == 0) {
    run_qemu(spec_);
    ::_exit(0);
  }
  const auto all = pids(1);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_TRUE(std::filesystem::exists("/proc/" + std::to_string(all[0])));
  ::kill(us, SIGKILL);
  ::waitpid(us, nullptr, 0);
  EXPECT_TRUE(is_gone(all[0]));
}

TEST_F(Qemu, ProgressIsToldAsItComes) {
  std::vector<std::string> phases;
  spec_.on_progress = [&](const GuestLog& log) { phases.push_back(log.phase()); };
  run("echo '" + start_line + "'; sleep 0.2; echo '" + phase_line + "'; sleep 0.2; echo '" + end_line + "'");
  EXPECT_THAT(phases, ElementsAre("", "P: remove", "P: remove"));
}

}  // namespace
}  // namespace shootdown::metal
