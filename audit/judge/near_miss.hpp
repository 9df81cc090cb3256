// SPDX-License-Identifier: MIT
// Where nothing covered a stale value: which operation was meant to, and why it did not. A guess, kept to what speaks
// for itself; it changes what is said about a harm, never whether there is one.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "audit/judge/stale_set.hpp"

namespace shootdown::audit {

/// A TLBI as it was issued.
struct Issued {
  Deed deed;
  vmsa::Tlbi op;
  StaleSet::Taken taken;
  std::uint64_t episode = 0;  ///< as in Birth
};

struct NearMiss {
  shadow::Cause cause = shadow::Cause::no_tlbi;
  Deed tlbi;
  std::string text;  ///< "VALE1IS of 0x...: names ASID 0x6"
};

/// `issued`: what the CPU that changed the descriptor has issued lately, in any order. Only the same thread's count, of
/// the same system call or fault.
std::optional<NearMiss> near_miss(const vmsa::Regime& r, const StaleEntry& entry,
                                  std::span<const Issued> issued);

}  // namespace shootdown::audit
