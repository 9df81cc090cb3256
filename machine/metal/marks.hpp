// SPDX-License-Identifier: MIT
// Marks in the image's instruction stream for whoever counts from outside: `movz xzr, #n` does nothing
// architecturally, and is seen at translation by QEMU's plugin. Names and numbers only; included by both sides.
#pragma once

#include <cstdint>

namespace shootdown::metal {

/// Distinct from those of the audit's guests.
enum class Mark : std::uint16_t {
  teardown_begin = 0x5e01,
  teardown_end = 0x5e02,
  pause = 0x5e03,  ///< what follows is the experiment's, not the procedure's; nests
  resume = 0x5e04,
};

/// The immediate of `movz xzr, #n`; 0 for any other instruction.
constexpr std::uint16_t mark_of(std::uint32_t opcode) {
  return (opcode & 0xffe0001f) == 0xd280001f ? static_cast<std::uint16_t>(opcode >> 5) : std::uint16_t{0};
}

}  // namespace shootdown::metal
