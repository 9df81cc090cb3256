// SPDX-License-Identifier: MIT
// What must not become reachable beside a value that a CPU may still hold: break-before-make between two places, as
// pure functions, for the model and the audit.
#pragma once

#include <algorithm>

#include "shadow/entry.hpp"
#include "vmsa/break_before_make.hpp"

namespace shootdown::shadow {

/// Two leaves over one address, one of them held: may both be? (R_WHZWS) Of different sizes, they are compared piece by
/// piece where the size may change at all.
constexpr vmsa::Conflict leaf_conflict(const Regime& r, const Held& old, const Place& place, Descriptor now,
                                       vmsa::BbmLevel bbm, bool same_contents) {
  if (old.place.level == place.level)
    return vmsa::break_before_make_conflict(
        r, {.level = place.level, .from = old.value, .to = now, .same_contents = same_contents}, bbm);
  if (bbm != vmsa::BbmLevel::level2_no_abort) return vmsa::Conflict::block_size;
  const Level level = std::max(old.place.level, place.level);
  const VirtAddr va = std::max(old.place.va, place.va);
  const auto piece = [&](const Place& p, Descriptor d) {
    return vmsa::make_leaf(r, level, vmsa::output_address(r, p.level, d) + (va - p.va),
                           vmsa::attributes(r, d));
  };
  return vmsa::break_before_make_conflict(
      r, {.level = level, .from = piece(old.place, old.value), .to = piece(place, now)}, bbm);
}

/// Why `now` must not become reachable at `place` while `held` may be used for an address of it. What hangs below a
/// table is for the caller to ask, descriptor by descriptor: they are entries too, and where a size may change in place
/// they alone are compared. `same_contents`: what both lead to, pages or tables, is known to be equal, byte by byte.
constexpr vmsa::Conflict exposure_conflict(const Regime& r, const Held& held, const Place& place,
                                           Descriptor now, vmsa::BbmLevel bbm, bool same_contents = false) {
  const bool becomes_table = now.is_table(place.level);
  if (!becomes_table && !is_leaf(r, place.level, now)) return vmsa::Conflict::none;
  if (!becomes_table && !held.is_table()) return leaf_conflict(r, held, place, now, bbm, same_contents);
  const auto other_size =
      bbm == vmsa::BbmLevel::level2_no_abort ? vmsa::Conflict::none : vmsa::Conflict::block_size;
  // A leaf over a table further down: the table's walk-cache entry and the leaf answer for the same address.
  if (!becomes_table) return held.place.level >= place.level ? other_size : vmsa::Conflict::none;
  if (held.place.level != place.level) return vmsa::Conflict::none;
  if (!held.is_table()) return other_size;
  const bool moved =
      vmsa::output_address(r, place.level, held.value) != vmsa::output_address(r, place.level, now);
  return moved && !same_contents ? vmsa::Conflict::output_address : vmsa::Conflict::none;
}

}  // namespace shootdown::shadow
