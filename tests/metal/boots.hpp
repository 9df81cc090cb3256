// SPDX-License-Identifier: MIT
// What tests that boot the real image under the real QEMU share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "scenario/boot.hpp"

namespace shootdown::scenario {

inline BootMachine real_machine() {
  BootMachine m;
  m.image = SHOOTDOWN_BINARY_DIR "/shootdown-metal.img";
  return m;
}

inline std::string explain(const report::BootResult& r) {
  std::string text = r.strategy + " " + std::to_string((1u << r.page_shift) >> 10) + "k/" +
                     std::to_string(r.va_bits) + " " + r.mapping + ":";
  for (const std::string& failure : r.failures) text += "\n  " + failure;
  return text;
}

/// Boots and expects every strategy to pass.
inline BootOutcome expect_pass(const BootCase& c, const BootMachine& machine = real_machine()) {
  BootOutcome out = boot(c, machine);
  EXPECT_EQ(out.failure, metal::RunFailure::none) << out.message;
  EXPECT_EQ(out.results.size(), c.strategies.size());
  for (const report::BootResult& r : out.results) EXPECT_TRUE(r.passed()) << explain(r);
  return out;
}

inline std::uint64_t tlbi_total(const report::BootResult& r) {
  std::uint64_t n = 0;
  for (std::uint64_t count : r.counts.tlbi) n += count;
  return n;
}

/// A sanitizer build adds nothing to what the guest does, and the plain build boots all of this already.
#ifdef SHOOTDOWN_SANITIZED
#define SHOOTDOWN_BOOTS_ELSEWHERE() GTEST_SKIP() << "booted by the plain build"
#else
#define SHOOTDOWN_BOOTS_ELSEWHERE() \
  do {                              \
  } while (false)
#endif

}  // namespace shootdown::scenario
