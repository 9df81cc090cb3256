// SPDX-License-Identifier: MIT
#include "audit/judge/near_miss.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace shootdown::audit {
namespace {

using shadow::Cause;
using shadow::Outcome;
using vmsa::VirtRange;

/// An attempt lies this close, in units of the larger of the value's span and the operation's reach; what found nothing
/// at all may lie anywhere.
constexpr std::uint64_t attempt_distance = 16;

std::string name_of(const vmsa::Regime& r, const vmsa::Tlbi& op) {
  std::string text = vmsa::tlbi_name(op.op).c_str();
  if (!op.op.by_va()) return text;
  const VirtRange range = vmsa::tlbi_range(r, op);
  text += fmt::format(" of 0x{:x}", range.start.value);
  if (op.op.range) text += fmt::format(" and {} pages in all", range.size() >> r.page_shift);
  return text;
}

std::uint64_t gap(const VirtRange& a, const VirtRange& b) {
  return a.start < b.start ? b.start - a.end : a.start - b.end;
}

class Search {
 public:
  Search(const vmsa::Regime& r, const StaleEntry& entry) : r_(r), entry_(entry), range_(entry.range(r)) {}

  void consider(const Issued& i) {
    const Outcome outcome = shadow::outcome_of(r_, i.op, entry_);
    if (i.deed.event < entry_.birth.event) {
      if (outcome == Outcome::doomed && i.taken.count == 0) keep_latest(before_, i);
      return;
    }
    if (!first_after_ || i.deed.event < first_after_->deed.event) first_after_ = &i;
    if (outcome == Outcome::asid && (i.op.op.by_va() || i.taken.count == 0)) keep_latest(other_asid_, i);
    if (outcome == Outcome::address && (i.op.va.value >> 63 != 0) == entry_.kernel) consider_other_address(i);
  }

  std::optional<NearMiss> result() const {
    if (other_asid_)
      return NearMiss{
          Cause::asid, other_asid_->deed,
          fmt::format("{}: it names ASID 0x{:x}", name_of(r_, other_asid_->op), other_asid_->op.asid)};
    if (before_)
      return NearMiss{Cause::tlbi_before_clear, before_->deed,
                      fmt::format("{}: it came before the change", name_of(r_, before_->op))};
    const Issued* closest = below_ && (!above_ || distance(*below_) <= distance(*above_)) ? below_ : above_;
    if (!closest && first_after_ && is_elsewhere(*first_after_)) closest = first_after_;
    if (!closest) return std::nullopt;
    return NearMiss{Cause::coverage, closest->deed,
                    fmt::format("{}: {}", name_of(r_, closest->op), how_far(*closest))};
  }

 private:
  static void keep_latest(const Issued*& kept, const Issued& i) {
    if (!kept || kept->deed.event < i.deed.event) kept = &i;
  }
  std::uint64_t distance(const Issued& i) const { return gap(vmsa::tlbi_range(r_, i.op), range_); }

  /// It did for the same code's other values what it was to do for this one.
  void consider_other_address(const Issued& i) {
    if (i.taken.count == 0 || i.taken.is_mixed || i.taken.stack != entry_.birth.stack) return;
    const VirtRange op = vmsa::tlbi_range(r_, i.op);
    if (gap(op, range_) > attempt_distance * std::max(op.size(), range_.size())) return;
    const Issued*& side = op.start < range_.start ? below_ : above_;
    if (!side || distance(i) < distance(*side)) side = &i;
  }

  /// The change's own flush found nothing, because it went elsewhere.
  bool is_elsewhere(const Issued& i) const {
    return i.taken.count == 0 && shadow::outcome_of(r_, i.op, entry_) == Outcome::address;
  }

  std::string how_far(const Issued& i) const {
    const VirtRange op = vmsa::tlbi_range(r_, i.op);
    const std::uint64_t pages = gap(op, range_) / r_.page_size();
    if (below_ && above_ && below_->deed.stack == above_->deed.stack)
      return "this address was stepped over: the stride is too wide";
    const bool is_below = op.start < range_.start;
    if (pages == 0)
      return is_below ? "it ends just before this address" : "it begins just behind this address";
    return fmt::format("it {} {} pages {} this address", is_below ? "ends" : "begins", pages,
                       is_below ? "before" : "behind");
  }

  const vmsa::Regime& r_;
  const StaleEntry& entry_;
  VirtRange range_;
  const Issued* other_asid_ = nullptr;
  const Issued* before_ = nullptr;
  const Issued* below_ = nullptr;
  const Issued* above_ = nullptr;
  const Issued* first_after_ = nullptr;
};

}  // namespace

std::optional<NearMiss> near_miss(const vmsa::Regime& r, const StaleEntry& entry,
                                  std::span<const Issued> issued) {
  Search search(r, entry);
  for (const Issued& i : issued)
    if (i.deed.event != 0 && i.episode == entry.birth.episode && i.deed.depth == entry.birth.depth)
      search.consider(i);
  return search.result();
}

}  // namespace shootdown::audit
