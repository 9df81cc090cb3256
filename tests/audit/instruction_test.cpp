// SPDX-License-Identifier: MIT
// Strategy: every TLBI operation is decoded from the opcode that the assembler gives it; what only looks like
// one of the instructions of interest is not taken for it.
#include "audit/plugin/instruction.hpp"

#include <gtest/gtest.h>

namespace shootdown::audit::plugin {
namespace {

constexpr std::uint32_t tlbi_opcode(vmsa::TlbiOp op, unsigned rt, unsigned crn = 8) {
  const vmsa::SysEncoding e = vmsa::sys_encoding(op);
  return 0xd5080000 | crn << 12 | e.crm << 8 | e.op2 << 5 | rt;
}

TEST(Instruction, EveryTlbiIsDecoded) {
  for (unsigned i = 0; i < vmsa::tlbi_ops.size(); ++i) {
    for (unsigned crn : {8u, 9u})
      EXPECT_EQ(decode(tlbi_opcode(vmsa::tlbi_ops[i], 3, crn)),
                (Instruction{Action::tlbi, static_cast<std::uint16_t>(i), 3}));
  }
  EXPECT_EQ(decode(0xd508831f)->action, Action::tlbi) << "tlbi vmalle1is";
  EXPECT_EQ(decode(0xd50c831f)->action, Action::tlbi_other) << "tlbi alle2is";
  EXPECT_EQ(decode(0xd508811f)->action, Action::tlbi_other) << "tlbi vmalle1os";
}

TEST(Instruction, BarriersByTheirField) {
  EXPECT_EQ(decode(0xd5033b9f), (Instruction{Action::dsb, 11, 31})) << "dsb ish";
  EXPECT_EQ(decode(0xd5033a9f), (Instruction{Action::dsb, 10, 31})) << "dsb ishst";
  EXPECT_EQ(decode(0xd503379f), (Instruction{Action::dsb, 7, 31})) << "dsb nsh";
  EXPECT_EQ(decode(0xd5033fdf)->action, Action::isb);
  EXPECT_EQ(decode(0xd5033bbf), std::nullopt) << "dmb ish";
  EXPECT_EQ(decode(0xd503201f), std::nullopt) << "nop";
}

TEST(Instruction, SystemRegistersAndTheirOperand) {
  EXPECT_EQ(decode(0xd5182001), (Instruction{Action::ttbr0, 0, 1})) << "msr ttbr0_el1, x1";
  EXPECT_EQ(decode(0xd5182022), (Instruction{Action::ttbr1, 0, 2})) << "msr ttbr1_el1, x2";
  EXPECT_EQ(decode(0xd5182045), (Instruction{Action::tcr, 0, 5})) << "msr tcr_el1, x5";
  EXPECT_EQ(decode(0xd518c008), (Instruction{Action::vectors, 0, 8})) << "msr vbar_el1, x8";
  EXPECT_EQ(decode(0xd518cba0), (Instruction{Action::sgi, 0, 0})) << "msr icc_sgi1r_el1, x0";
  EXPECT_EQ(decode(0xd50b7428), (Instruction{Action::zero_block, 0, 8})) << "dc zva, x8";
  EXPECT_EQ(decode(0xd5382001), std::nullopt) << "mrs x1, ttbr0_el1";
}

TEST(Instruction, MarksAreMovesToTheZeroRegister) {
  EXPECT_EQ(decode(protocol::mark_instruction(0x5d01)), (Instruction{Action::mark, 0x5d01, 31}));
  EXPECT_EQ(decode(protocol::mark_instruction(0x1234)), std::nullopt);
  EXPECT_EQ(decode(protocol::mark_instruction(0x5d01) & ~1u), std::nullopt) << "movz x30";
}

TEST(Instruction, CallTargets) {
  EXPECT_EQ(call_target(0x94000002, 0x1000), 0x1008u);
  EXPECT_EQ(call_target(0x97ffffff, 0x1000), 0xffcu);
  EXPECT_EQ(call_target(0x14000002, 0x1000), std::nullopt) << "b";
}

}  // namespace
}  // namespace shootdown::audit::plugin
