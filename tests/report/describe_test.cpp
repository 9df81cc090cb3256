// SPDX-License-Identifier: MIT
// The words for descriptors, sets of CPUs and TLBI operations.
#include <gtest/gtest.h>

#include "report/check/describe.hpp"

namespace shootdown::report {
namespace {

constexpr vmsa::Regime r = vmsa::regime(12, 48);

TEST(Describe, Descriptors) {
  EXPECT_EQ(describe(r, vmsa::page_level, {}), "none");
  EXPECT_EQ(describe(r, vmsa::pmd_level, vmsa::make_table(r, vmsa::PhysAddr(0x5000))), "table 0x5000");
  EXPECT_EQ(describe(r, vmsa::page_level,
                     make_leaf(r, vmsa::page_level, vmsa::PhysAddr(0x7000), vmsa::page_kernel)),
            "page 0x7000 RW AF");
  vmsa::Attributes a{.read_only = true, .accessed = false, .not_global = true, .contiguous = true};
  EXPECT_EQ(describe(r, vmsa::pmd_level, make_leaf(r, vmsa::pmd_level, vmsa::PhysAddr(0x200000), a)),
            "block 0x200000 RO !AF CONT nG");
  EXPECT_EQ(describe(r, vmsa::page_level, vmsa::Descriptor{0x1}), "invalid 0x1");
}

TEST(Describe, Levels) {
  EXPECT_EQ(level_name(r, vmsa::Level{0}), "pgd");
  EXPECT_EQ(level_name(r, vmsa::pud_level), "pud");
  EXPECT_EQ(level_name(vmsa::regime(16, 42), vmsa::pmd_level), "pgd");
  EXPECT_EQ(level_name(vmsa::regime(12, 52), vmsa::Level{0}), "p4d");
}

TEST(Describe, SetsOfCpus) {
  EXPECT_EQ(describe(shadow::CpuSet{0b1}), "CPU 0");
  EXPECT_EQ(describe(shadow::CpuSet{0b111}), "CPUs 0-2");
  EXPECT_EQ(describe(shadow::CpuSet{0b1101}), "CPUs 0,2-3");
}

TEST(Describe, Tlbi) {
  EXPECT_EQ(describe(r, vmsa::Tlbi{.op = vmsa::vaale1is, .va = vmsa::VirtAddr(0xffff000000001000)}),
            "TLBI VAALE1IS 0xffff000000001000-0xffff000000001fff");
  EXPECT_EQ(describe(r, vmsa::Tlbi{.op = vmsa::vmalle1is}), "TLBI VMALLE1IS");
}

}  // namespace
}  // namespace shootdown::report
