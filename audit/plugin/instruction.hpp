// SPDX-License-Identifier: MIT
// Which A64 instructions an audit cares about, from their opcodes alone. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "audit/guest/protocol.hpp"
#include "vmsa/tlbi.hpp"

namespace shootdown::audit::plugin {

enum class Action : std::uint8_t {
  tlbi,  ///< op: index in vmsa::tlbi_ops
  tlbi_other,
  dsb,  ///< op: CRm
  isb,
  ttbr0,
  ttbr1,
  tcr,
  sgi,
  vectors,     ///< a write of VBAR_EL1: where exceptions are taken to from now on
  task,        ///< a write of SP_EL0, where Linux keeps its current task
  zero_block,  ///< DC ZVA: stores without a memory callback
  mark,        ///< op: the mark, less its first
  exception_return,
  // The rest are places, not opcodes:
  free_page,
  put_page,
  free_batch,
  free_root,
  copy_page,
  system_call,  ///< op: Watched
  user_entry,
  kernel_exception,
  enter,
  leave,
};

struct Instruction {
  Action action = Action::isb;
  std::uint16_t op = 0;
  std::uint8_t rt = 31;  ///< the operand register; 31 reads as zero

  friend constexpr bool operator==(const Instruction&, const Instruction&) = default;
};

namespace detail {
constexpr std::optional<Instruction> decode_tlbi(std::uint32_t opcode) {
  const unsigned op1 = opcode >> 16 & 7;
  const unsigned crn = opcode >> 12 & 15;
  const vmsa::SysEncoding e{opcode >> 8 & 15, opcode >> 5 & 7};
  const auto rt = static_cast<std::uint8_t>(opcode & 31);
  // CRn 9 is the nXS form (FEAT_XS): the same obligation for Normal memory.
  const auto op = op1 == 0 && (crn == 8 || crn == 9) ? vmsa::decode_sys(e) : std::nullopt;
  if (op) return Instruction{Action::tlbi, static_cast<std::uint16_t>(vmsa::tlbi_index(*op)), rt};
  return Instruction{Action::tlbi_other, 0, rt};
}
}  // namespace detail

constexpr std::optional<Instruction> decode(std::uint32_t opcode) {
  const auto rt = static_cast<std::uint8_t>(opcode & 31);
  if ((opcode & 0xfffff0ff) == 0xd503309f)
    return Instruction{Action::dsb, static_cast<std::uint16_t>(opcode >> 8 & 15)};
  if ((opcode & 0xfffff3ff) == 0xd503323f)  // DSB nXS: domain in bits [11:10], always for loads and stores
    return Instruction{Action::dsb, static_cast<std::uint16_t>((opcode >> 8 & 12) | 3)};
  // ERET, and ERETAA, ERETAB
  if (opcode == 0xd69f03e0 || (opcode & 0xfffffbff) == 0xd69f0bff)
    return Instruction{Action::exception_return};
  if ((opcode & 0xfffff0ff) == 0xd50330df) return Instruction{Action::isb};
  if ((opcode & 0xfff80000) == 0xd5080000) {
    const unsigned crn = opcode >> 12 & 15;
    if (crn == 8 || crn == 9) return detail::decode_tlbi(opcode);
    if ((opcode & 0xffffffe0) == 0xd50b7420) return Instruction{Action::zero_block, 0, rt};
    return std::nullopt;
  }
  switch (opcode & 0xffffffe0) {
    case 0xd5182000: return Instruction{Action::ttbr0, 0, rt};
    case 0xd5182020: return Instruction{Action::ttbr1, 0, rt};
    case 0xd5182040: return Instruction{Action::tcr, 0, rt};
    case 0xd518cba0: return Instruction{Action::sgi, 0, rt};
    case 0xd518c000: return Instruction{Action::vectors, 0, rt};
    case 0xd5184100: return Instruction{Action::task, 0, rt};
    default: break;
  }
  constexpr std::uint16_t first = static_cast<std::uint16_t>(protocol::Mark::window_begin);
  if ((opcode & 0xffe0001f) == 0xd280001f) {
    const auto n = static_cast<std::uint16_t>(opcode >> 5 & 0xffff);
    if (n >= first && n < first + protocol::mark_count) return Instruction{Action::mark, n};
  }
  return std::nullopt;
}

/// The target of a BL.
constexpr std::optional<std::uint64_t> call_target(std::uint32_t opcode, std::uint64_t pc) {
  if ((opcode & 0xfc000000) != 0x94000000) return std::nullopt;
  const std::uint64_t offset = ((opcode & 0x03ffffffull) ^ 0x02000000) - 0x02000000;
  return pc + offset * 4;
}

}  // namespace shootdown::audit::plugin
