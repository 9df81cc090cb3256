// SPDX-License-Identifier: MIT
// How the tests of vmsa/ name a case in their messages: a regime, an operation. No checks here.
#pragma once

#include <cstdio>
#include <ostream>
#include <string>

#include "vmsa/tlbi_range.hpp"

namespace shootdown::vmsa {

inline std::string show(const Regime& r) {
  return std::to_string((1u << r.page_shift) / 1024) + "K/" + std::to_string(r.va_bits);
}

inline std::string show(VirtAddr va) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%016llx", static_cast<unsigned long long>(va.value));
  return text;
}

inline std::string show(const Tlbi& t) {
  std::string s = std::string(tlbi_name(t.op).c_str()) + " " + show(t.va);
  if (t.op.range) s += " +" + std::to_string(t.pages);
  if (t.ttl) s += " ttl " + std::to_string(t.ttl->value);
  return s;
}

/// The names by which GoogleTest prints a failing comparison.
inline void PrintTo(const Tlbi& t, std::ostream* out) { *out << show(t); }
inline void PrintTo(VirtAddr va, std::ostream* out) { *out << show(va); }

}  // namespace shootdown::vmsa
