// SPDX-License-Identifier: MIT
// Strategy: a real kernel, as Debian ships it, shows no violation; the same kernel with one instruction replaced
// by NOP shows the one that is to be expected, with its cause, in its function. Which instructions, the first
// run's own trace tells. ./test sets up QEMU and the kernel: where one is missing, that is a failure.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "audit/audit.hpp"
#include "audit/kernel/kallsyms.hpp"
#include "audit/qemu/version.hpp"
#include "tests/audit/mutants.hpp"

namespace shootdown::audit::test {
namespace {

namespace fs = std::filesystem;
using shadow::Cause;
using shadow::Harm;
using testing::AllOf;
using testing::Contains;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::StartsWith;

/// Under sanitizers a guest takes three times as long, and two workloads reach all code of ours that a third does.
#ifdef __SANITIZE_ADDRESS__
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = false;
#endif

void tell(std::string_view line) { std::cerr << "audit test: " << line << '\n'; }

/// A folder that goes with the test.
class Scratch {
 public:
  Scratch() : path_(fs::temp_directory_path() / fmt::format("shootdown-audit-test.{}", getpid())) {
    fs::create_directories(path_);
  }
  ~Scratch() { fs::remove_all(path_); }
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

class BrokenKernel : public testing::Test {
 protected:
  void SetUp() override {
    const auto qemu = usable_qemu();
    ASSERT_TRUE(qemu) << qemu.error().message;
    // Once for all: which is the newest, apt takes seconds to say.
    static const auto kernel = find_kernel("debian:6.12", tell);
    ASSERT_TRUE(kernel) << kernel.error().message;
    kernel_ = *kernel;
  }

  /// Of the kernel as it is, recorded: what it executes are the mutants.
  AuditRequest request_sound(std::string_view workload, std::uint64_t memory_bytes) const {
    AuditRequest r;
    r.kernel = kernel_.name;
    r.modules_dir = kernel_.modules_dir;
    r.programs_dir = SHOOTDOWN_BINARY_DIR;
    r.timeout_s = 300;
    r.workload = workload;
    r.memory_bytes = memory_bytes;
    r.record = scratch_ / "sound.trc";
    return r;
  }

  AuditResult run(const AuditRequest& request) {
    auto result = audit_guest(request, [](std::string_view) {});
    EXPECT_TRUE(result) << result.error().message << '\n' << result.error().details;
    if (!result) return {};
    // A broken kernel may die of it.
    EXPECT_TRUE(!result->stopped || !result->violations.empty()) << result->stopped->message;
    return std::move(*result);
  }

  /// Runs the kernel without the instruction, which must be caught so.
  Violation expect_caught(const AuditRequest& sound, const Mutant& mutant, Harm harm, Cause cause) {
    AuditResult result;
    run_without(sound, mutant, result);
    if (result.violations.empty()) {
      ADD_FAILURE() << "without " << mutant.operation << " at " << mutant.place;
      return {};
    }
    EXPECT_EQ(result.violations[0].harm, harm) << mutant.place;
    EXPECT_EQ(result.violations[0].cause, cause) << mutant.place;
    return result.violations[0];
  }

 private:
  void run_without(const AuditRequest& sound, const Mutant& mutant, AuditResult& result) {
    const auto image = load_image(kernel_.image);
    const auto kallsyms = read_kallsyms(*image);
    ASSERT_TRUE(kallsyms);
    const fs::path broken = scratch_ / "broken.image";
    ASSERT_TRUE(write_broken_image(*image, kallsyms->base, mutant.pc, broken));
    AuditRequest again = sound;
    again.kernel = broken.string();
    again.record.clear();
    result = run(again);
  }

 protected:
  Kernel kernel_;
  Scratch scratch_;
};

/// The mutant of this operation in this function (and under this caller, if one is given).
Mutant find(const std::vector<Mutant>& mutants, bool (*is_operation)(const std::string&),
            std::string_view function, std::string_view caller = {}) {
  const auto it = std::ranges::find_if(mutants, [&](const Mutant& m) {
    return is_operation(m.operation) && m.place.starts_with(fmt::format("{}+", function)) &&
           m.caller.starts_with(caller);
  });
  EXPECT_NE(it, mutants.end()) << function;
  return it == mutants.end() ? Mutant{} : *it;
}

bool is_tlbi(const std::string& operation) { return operation.find("E1") != std::string::npos; }
bool is_dsb_ish(const std::string& operation) { return operation == "DSB ISH"; }

TEST_F(BrokenKernel, HotUnplug) {
  const AuditRequest sound = request_sound("hot-unplug", 256 << 20);
  const AuditResult result = run(sound);
  EXPECT_TRUE(result.violations.empty());
  // 128 leaf tables, and none above: the neighbours in their GiB keep the next level.
  const auto count = [&](vmsa::TlbiOp op) { return result.teardown.counts.tlbi[vmsa::tlbi_index(op)]; };
  EXPECT_EQ(result.teardown.counts.tables_freed, count(vmsa::vaae1is));
  EXPECT_GE(result.teardown.counts.tables_freed, 128u);
  EXPECT_EQ(result.teardown.counts.descriptor_stores, 65536u + 2 + result.teardown.counts.tables_freed);
  EXPECT_GE(result.teardown.counts.instructions.value_or(0), 3 * 65536u);
  EXPECT_LE(result.teardown.counts.instructions, result.window.counts.instructions);

  const auto mutants = mutants_of(sound.record);
  ASSERT_TRUE(mutants);
  expect_caught(sound, find(*mutants, is_tlbi, "unmap_hotplug_range", "__remove_pgd_mapping"),
                Harm::stale_page, Cause::no_tlbi);
  if (is_sanitized)
    return;  // guests under a sanitized judge take three times as long: the release build goes on
  expect_caught(sound, find(*mutants, is_dsb_ish, "free_empty_tables"), Harm::stale_table, Cause::no_dsb);
}

TEST_F(BrokenKernel, MunmapOnAUserPage) {
  if (is_sanitized) GTEST_SKIP() << "the release build runs it";
  const AuditRequest sound = request_sound("munmap", 16 << 20);
  EXPECT_TRUE(run(sound).violations.empty());
  const auto mutants = mutants_of(sound.record);
  ASSERT_TRUE(mutants);
  expect_caught(sound, find(*mutants, is_tlbi, "tlb_flush", "unmap_page_range"), Harm::stale_page,
                Cause::no_tlbi);
}

TEST_F(BrokenKernel, MprotectOnThePermissionThatItTookAway) {
  if (is_sanitized) GTEST_SKIP() << "the release build runs it";
  const AuditRequest sound = request_sound("mprotect", 8 << 20);
  EXPECT_TRUE(run(sound).violations.empty());
  const auto mutants = mutants_of(sound.record);
  ASSERT_TRUE(mutants);
  const Violation v = expect_caught(sound, find(*mutants, is_tlbi, "tlb_flush", "change_protection"),
                                    Harm::stale_permission, Cause::no_tlbi);
  EXPECT_THAT(v.splat, AllOf(Contains(HasSubstr("the change of permissions returned to its caller")),
                             Contains(ContainsRegex("CPU [0-3] PID 1 .init. changed it: ")),
                             Contains(ContainsRegex("CPU [0-3] PID 1 .init. did it:")),
                             Contains(StartsWith(" __arm64_sys_mprotect+"))));
}

}  // namespace
}  // namespace shootdown::audit::test
