// SPDX-License-Identifier: MIT
// Pricing call sites, sample by sample.
#include "scenario/site_costs.hpp"

#include <algorithm>
#include <numeric>

namespace shootdown::scenario {
namespace {

using report::SiteCost;
using timed::Nanoseconds;
using timed::Param;
using timed::ParamValues;

/// What one place did, by what it is priced as.
struct Work {
  double singles = 0, ranges = 0, alls = 0;  ///< broadcast TLBIs
  double local = 0;
  double dsb_ish = 0, dsb_stores = 0, dsb_nsh = 0;
  double sgi = 0;
  double pages = 0;        ///< of the ranges
  double completions = 0;  ///< DSB ISH with a broadcast behind it

  double broadcasts() const { return singles + ranges + alls; }
};

Work work_of(const SiteCost& site) {
  Work w;
  for (std::size_t i = 0; i < site.counts.tlbi.size(); ++i) {
    const vmsa::TlbiOp op = vmsa::tlbi_ops[i];
    double& kind = !op.broadcast ? w.local : !op.by_va() ? w.alls : op.range ? w.ranges : w.singles;
    kind += static_cast<double>(site.counts.tlbi[i]);
  }
  const auto dsb = [&](machine::Dsb kind) {
    return static_cast<double>(site.counts.dsb[static_cast<std::size_t>(kind)]);
  };
  w.dsb_ish = dsb(machine::Dsb::ish);
  w.dsb_stores = dsb(machine::Dsb::ishst) + dsb(machine::Dsb::nshst);
  w.dsb_nsh = dsb(machine::Dsb::nsh);
  w.sgi = static_cast<double>(site.counts.sgi);
  w.pages = w.ranges > 0 ? static_cast<double>(site.pages) : 0;
  w.completions = std::min(w.broadcasts(), w.dsb_ish);
  return w;
}

/// TLBIs of a place that never waits are waited for somewhere; a place that does waits for all of its own.
void complete_elsewhere(std::vector<Work>& all) {
  double open = 0, idle = 0;
  for (const Work& w : all) {
    if (w.dsb_ish == 0) open += w.broadcasts();
    if (w.broadcasts() == 0) idle += w.dsb_ish;
  }
  if (idle == 0) return;
  for (Work& w : all)
    if (w.broadcasts() == 0) w.completions = w.dsb_ish * std::min(1.0, open / idle);
}

Nanoseconds price(const Work& w, const ParamValues& v, Nanoseconds broadcast) {
  // A completion takes as long as its slowest operation: here the mean over the place's kinds.
  const double factor = w.broadcasts() > 0 ? (w.singles + w.ranges * std::max(1.0, v[Param::range_factor]) +
                                              w.alls * std::max(1.0, v[Param::flush_all_factor])) /
                                                 w.broadcasts()
                                           : 1;
  const double unwaited = std::max(0.0, w.broadcasts() - w.completions);
  return broadcast * (w.completions * factor) + v.time(Param::broadcast_issue) * unwaited +
         v.time(Param::range_per_64_pages) * (w.pages / 64) +
         v.time(Param::barrier_idle) * (w.dsb_ish - w.completions) +
         v.time(Param::barrier_store) * w.dsb_stores +
         v.time(Param::local_flush) * std::min(w.local, w.dsb_nsh) +
         v.time(Param::barrier_idle) * std::max(0.0, w.dsb_nsh - w.local) +
         v.time(Param::ipi_per_cpu_looped) * w.sgi;
}

}  // namespace

void price_sites(report::SiteCosts& costs, const timed::Profile& profile, timed::MachineSetup on) {
  std::vector<Work> works;
  for (const SiteCost& site : costs.sites) works.push_back(work_of(site));
  complete_elsewhere(works);
  std::vector<Nanoseconds> totals;
  std::vector<std::vector<Nanoseconds>> times(works.size());
  timed::for_each_sample(profile, costs.sampling, [&](const ParamValues& v) {
    const Nanoseconds broadcast = timed::Prices(v, on).broadcast();
    Nanoseconds total;
    for (std::size_t i = 0; i < works.size(); ++i)
      total += times[i].emplace_back(price(works[i], v, broadcast));
    totals.push_back(total);
  });
  for (std::size_t i = 0; i < works.size(); ++i)
    costs.sites[i].time = timed::percentiles(std::move(times[i]));
  costs.total = timed::percentiles(std::move(totals));
  std::ranges::stable_sort(costs.sites, std::greater(), [](const SiteCost& s) { return s.time.median; });
}

}  // namespace shootdown::scenario
