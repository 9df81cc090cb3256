// SPDX-License-Identifier: MIT
// Sums and differences of counters.
#include "machine/timed/ledger.hpp"

namespace shootdown::timed {

namespace {

template <typename Combine>
void combine(Tally& a, const Tally& b, Combine&& op) {
  for (std::size_t i = 0; i < a.tlbi.size(); ++i) op(a.tlbi[i], b.tlbi[i]);
  for (std::size_t i = 0; i < a.dsb.size(); ++i) op(a.dsb[i], b.dsb[i]);
  for (std::size_t i = 0; i < a.event.size(); ++i) op(a.event[i], b.event[i]);
}

}  // namespace

Tally& Tally::operator+=(const Tally& other) {
  combine(*this, other, [](std::uint64_t& a, std::uint64_t b) { a += b; });
  return *this;
}

Tally& Tally::operator-=(const Tally& other) {
  combine(*this, other, [](std::uint64_t& a, std::uint64_t b) { a -= b; });
  return *this;
}

Tally Tally::expanded() const {
  using machine::Dsb;
  Tally all = *this;
  const std::uint64_t flushes = (*this)[Event::flush_leaf] + (*this)[Event::flush_table];
  all.tlbi[vmsa::tlbi_index(vmsa::vaale1is)] += (*this)[Event::flush_leaf];
  all.tlbi[vmsa::tlbi_index(vmsa::vaae1is)] += (*this)[Event::flush_table];
  all.dsb[static_cast<std::size_t>(Dsb::ishst)] += flushes;
  all.dsb[static_cast<std::size_t>(Dsb::ish)] += flushes;
  all[Event::isb] += flushes;
  return all;
}

void Ledger::add_batch(std::size_t phase, const Batch& batch, std::uint64_t count) {
  auto matches = [&](const BatchCount& b) { return b.phase == phase && b.batch == batch; };
  if (last_hit_ >= batches.size() || !matches(batches[last_hit_])) {
    for (last_hit_ = 0; last_hit_ < batches.size() && !matches(batches[last_hit_]); ++last_hit_) {
    }
    if (last_hit_ == batches.size()) batches.push_back({phase, batch, 0});
  }
  batches[last_hit_].count += count;
}

Tally Ledger::total() const {
  Tally sum;
  for (const Tally& phase : phases) sum += phase.expanded();
  return sum;
}

report::Counts Ledger::counts() const {
  const Tally sum = total();
  report::Counts counts;
  counts.tlbi = sum.tlbi;
  counts.dsb = sum.dsb;
  counts.isb = sum[Event::isb];
  counts.descriptor_stores = sum[Event::descriptor_set] + sum[Event::descriptor_clear];
  counts.tables_freed = sum[Event::table_free];
  return counts;
}

Ledger Ledger::since(const Ledger& earlier) const {
  Ledger difference = *this;
  difference.last_hit_ = 0;
  for (std::size_t i = 0; i < phase_count; ++i) difference.phases[i] -= earlier.phases[i];
  // Batches are only ever added at the end, so an earlier state's are the first of a later one's.
  for (std::size_t i = 0; i < earlier.batches.size(); ++i)
    difference.batches[i].count -= earlier.batches[i].count;
  return difference;
}

}  // namespace shootdown::timed
