// SPDX-License-Identifier: MIT
// A second reading of the TLBI operands, straight from I_ZVNJG, I_QPHNP and Table D8-122, by fields of a bit
// string and arithmetic without shifts: what the tests hold vmsa/tlbi.hpp against.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "vmsa/tlbi.hpp"

namespace shootdown::vmsa::reference {

/// Bits [high:low] of an operand.
constexpr std::uint64_t field(std::uint64_t xt, unsigned high, unsigned low) {
  std::uint64_t value = 0;
  for (unsigned i = high + 1; i-- > low;) value = 2 * value + (xt / (std::uint64_t{1} << i)) % 2;
  return value;
}

constexpr std::uint64_t power(std::uint64_t base, unsigned exponent) {
  std::uint64_t product = 1;
  while (exponent-- > 0) product *= base;
  return product;
}

/// The fields of an operand, and what they add up to.
struct Operand {
  std::uint64_t asid = 0;
  std::uint64_t tg = 0;   ///< of a range, or of a hint
  std::uint64_t ttl = 0;  ///< two bits
  std::uint64_t scale = 0, num = 0;
  std::uint64_t start = 0;  ///< the first byte named, sign-extended
  std::uint64_t bytes = 0;
};

/// `page` and `ds` are what TCR_EL1 says: the page size in bytes, and TCR_EL1.DS.
constexpr Operand read_operand(bool range, std::uint64_t page, bool ds, std::uint64_t xt) {
  constexpr std::array<std::uint64_t, 4> granules{0, 4096, 16384, 65536};
  Operand o{.asid = field(xt, 63, 48), .tg = field(xt, 47, 46)};
  unsigned sign = 55;
  if (range) {
    const std::uint64_t unit = ds || page == 65536 ? 65536 : page;
    o.scale = field(xt, 45, 44);
    o.num = field(xt, 43, 39);
    o.ttl = field(xt, 38, 37);
    o.start = field(xt, 36, 0) * unit;
    o.bytes = (o.num + 1) * power(2, static_cast<unsigned>(5 * o.scale + 1)) * granules[o.tg];
    sign = unit == 4096 ? 48 : unit == 16384 ? 50 : 52;
  } else {
    o.ttl = field(xt, 45, 44);
    o.start = field(xt, 43, 0) * 4096;
    o.start -= o.start % page;  // bits below the page are ignored
    o.bytes = page;
  }
  if (field(o.start, sign, sign) == 1) o.start += 0 - power(2, sign + 1);
  return o;
}

}  // namespace shootdown::vmsa::reference
