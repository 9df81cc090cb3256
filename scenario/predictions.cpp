// SPDX-License-Identifier: MIT
// The public measurements, and the arithmetic that leads from a machine's figures to each of them.
#include "scenario/predictions.hpp"

#include <functional>
#include <string>

#include "machine/timed/profile_toml.hpp"
#include "machine/timed/system.hpp"
#include "scenario/timed_hot_remove.hpp"

namespace shootdown::scenario {

namespace {

using timed::MachineSetup;
using timed::Nanoseconds;
using timed::Param;
using timed::ParamValues;
using timed::Prices;
using Formula = std::function<double(const ParamValues&, MachineSetup)>;

/// Everything about a row but our answer.
struct Row {
  Prediction published;
  Formula ours;
};

double microseconds(Nanoseconds t) { return t.value / 1e3; }

/// DSB ISHST, TLBI ..IS, DSB ISH: what a user mapping's flush takes.
Nanoseconds flush(const ParamValues& v, MachineSetup on) {
  return v.time(Param::barrier_store) + Prices(v, on).broadcast();
}

/// How long each of `issuers` CPUs takes for `own` work and then `flushes` broadcasts, over and over. The server that
/// they share is the bound as soon as it never idles; tests/timed/predictions_test.cpp holds this against a
/// simulation of it.
Nanoseconds cycle(const ParamValues& v, MachineSetup on, unsigned issuers, Nanoseconds own,
                  unsigned flushes) {
  const Nanoseconds alone = own + flush(v, on) * flushes;
  if (issuers < 2) return alone;
  return max(alone, v.time(Param::broadcast_service) * (1.0 * flushes * issuers));
}

// R. Koller's fault: two flushes, and what the version with local flushes takes for all the rest.
constexpr Nanoseconds koller_rest(3200);
Formula koller(unsigned issuers) {
  return [issuers](const ParamValues& v, MachineSetup on) {
    const Nanoseconds local = (v.time(Param::barrier_store) + v.time(Param::local_flush)) * 2;
    return microseconds(cycle(v, on, issuers, max(Nanoseconds(0), koller_rest - local), 2));
  };
}

/// A pause around the remapping of one table of vmemmap.
Formula pause(timed::PauseMode mode, unsigned descriptors) {
  return [=](const ParamValues& v, MachineSetup on) {
    timed::System system(v, on);
    system.pause_others(0, mode, v.time(Param::descriptor_set) * descriptors);
    return microseconds(system.now(0));
  };
}

/// What batching saves of the time in unmap_hotplug_range(), in percent: 2 GiB by P and by B.
Formula batching_saves() {
  const auto run = [](std::size_t strategy) {
    HotRemoveSpec spec{};
    spec.regime = vmsa::regime(12, 48);
    spec.strategy = mm::strategies[strategy];
    spec.mapping = mm::mappings[0];
    spec.memory = timed::Bytes(std::uint64_t{2} << 30);
    return run_hot_remove(spec, Prices(timed::load_profile("neoverse-v2-72")->central(), {72, 1})).removal;
  };
  constexpr std::size_t per_leaf = 0, whole_range = 3;
  return [p = run(per_leaf), b = run(whole_range)](const ParamValues& v, MachineSetup on) {
    const auto unmapping = [&](const timed::Ledger& ledger) {
      const timed::Breakdown parts = Prices(v, on).breakdown(ledger);
      return parts[timed::Cost::linear_leaf_flush] + parts[timed::Cost::linear_clear];
    };
    return 100 * (1 - unmapping(b) / unmapping(p));
  };
}

/// What paging out a page takes beside its flush, from the share that the flush has on a phone.
Nanoseconds page_out_rest() {
  constexpr double share = 0.0536;
  return flush(timed::medians(*timed::load_profile("small-8")), {8, 1}) * ((1 - share) / share);
}

constexpr std::string_view koller_source = "R. Koller, KVM eager page split, 2023";
constexpr std::string_view koller_fit = "broadcast.service, from the plateau of 8 to 128";
constexpr std::string_view hvo_source = "Yu Zhao, HVO on arm64, 2024";

std::vector<Row> rows() {
  constexpr std::string_view n1 = "neoverse-n1-2x80", v2 = "neoverse-v2-72", server = "arm64-server";
  std::vector<Row> all;
  const auto add = [&](Prediction published, Formula ours) { all.push_back({published, std::move(ours)}); };

  add({"mprotect-flush", "one broadcast flush less in an mprotect call saves",
       "c320dbb7c80d (Dev Jain, v6.19)", v2, 72, "us", 0.35, 0.35, "",
       "machine not stated; arm64-server's broadcast.base was derived from it, this one's was not"},
      [](const ParamValues& v, MachineSetup on) { return microseconds(flush(v, on)); });
  add({"unmap-batching", "batching saves of the time in unmap_hotplug_range(), 2 GB", "48478b9f7913 (v7.1)",
       v2, 72, "%", 97, 97, "",
       "published for a VM, where clearing a descriptor takes up to 14 ns; ours is bare metal"},
      batching_saves());
  add({"stage2-unmap", "two TLBI and DSB a page less when KVM unmaps 4K pages by range save",
       "R. Ananta, KVM FEAT_TLBIRANGE v2, 2023: slopes from 64 to 128 GB", server, 64, "us", 1.5, 1.5, "",
       "machine not named; stage 2 operations, which may be slower than those of stage 1"},
      [](const ParamValues& v, MachineSetup on) { return microseconds(Prices(v, on).broadcast() * 2); });

  struct Point {
    const char* name;
    unsigned issuers;
    double published_us;
  };
  for (const Point p :
       {Point{"kvm-fault-1", 1, 5.1}, Point{"kvm-fault-4", 4, 6.3}, Point{"kvm-fault-8", 8, 9.7},
        Point{"kvm-fault-16", 16, 18.6}, Point{"kvm-fault-32", 32, 39}, Point{"kvm-fault-64", 64, 78},
        Point{"kvm-fault-128", 128, 156}, Point{"kvm-fault-152", 152, 214}}) {
    const bool plateau = p.issuers >= 8 && p.issuers <= 128;
    add({p.name, "a write fault with two broadcast flushes, that many vCPUs at once, takes each",
         koller_source, n1, 160, "us", p.published_us, p.published_us, plateau ? koller_fit : "",
         p.issuers == 152 ? "beyond 128 vCPUs the published curve bends up; ours stays linear"
                          : "all but the flushes taken from the same post's local flushes, 3.2 us"},
        koller(p.issuers));
  }
  add({"parallel-tlbi", "parallel broadcast TLBIs can take", "the same, cover letter: \"milliseconds\"", n1,
       160, "us", 1000, 10000, "", "ours: all CPUs at once, one operation each; batches would take longer"},
      [](const ParamValues& v, MachineSetup on) {
        return microseconds(cycle(v, on, on.cpus, Nanoseconds(0), 1));
      });
  add({"mprotect-32-processes", "32 processes in an mprotect loop, system-wide time a call",
       "A. Arcangeli, 2020: 2.170 s against 0.139 s without broadcasts, Ampere eMAG", server, 32, "us", 3.2,
       6.3, "", "one flush a call or two; an old interconnect, of which there is no profile"},
      [](const ParamValues& v, MachineSetup) { return microseconds(v.time(Param::broadcast_service)); });
  add({"stress-ng-32", "throughput of 32 issuers of broadcasts over that of one",
       "R. Roberts, RFC of August 2025: stress-ng tlb-shootdown, 1593 against 9109 bogo-ops/s", server, 64,
       "1", 0.17, 0.17, "", "the published throughput collapses with issuers; ours only stops growing"},
      [](const ParamValues& v, MachineSetup on) {
        return 32 * (cycle(v, on, 1, Nanoseconds(0), 1) / cycle(v, on, 32, Nanoseconds(0), 1));
      });
  add({"victim-of-mprotect", "a test beside one CPU that loops mprotect takes longer by",
       "Fujitsu, 2019: 39 against 49 ms, ThunderX2", server, 64, "%", 25, 25, "",
       "2.85 us a call beside its flush, as on another machine; ours is receive_stall alone, theirs a thread "
       "of a core "
       "with four"},
      [](const ParamValues& v, MachineSetup on) {
        return 100 * (v.time(Param::receive_stall) / (Nanoseconds(2850) + flush(v, on)));
      });
  add({"fork-rewrite", "share of four CPUs' cycles in flushes while they rewrite forked pages",
       "cb1fa2e99955 (Huang Ying): usemem, 100 GB", server, 64, "%", 50.5, 50.5, "",
       "0.8 us a fault beside its flush, a guess; the benchmark's own work left out"},
      [](const ParamValues& v, MachineSetup on) {
        constexpr Nanoseconds fault(800);
        return 100 * (1 - fault / cycle(v, on, 4, fault, 1));
      });
  add({"page-out",
       "share of cycles in ptep_clear_flush() of a page-out benchmark on a server of about 100 CPUs",
       "43b3dfdd0455 (batched unmap series, v11): Kunpeng 920", server, 100, "%", 16.99, 16.99, "",
       "other work a page: what the same series' 5.36 % on a phone leaves beside small-8's flush"},
      [rest = page_out_rest()](const ParamValues& v, MachineSetup on) {
        const Nanoseconds each = flush(v, on);
        return 100 * (each / (each + rest));
      });

  struct Pause {
    const char* name;
    const char* what;
    timed::PauseMode mode;
    unsigned descriptors;
    double published_us;
    const char* fitted;
    const char* remark;
  };
  constexpr const char* demote = "pausing all others, about 200 CPUs, to demote a 2M page";
  constexpr const char* freeing = "the same around the 512 descriptors of a table, freeing a 1G page";
  constexpr const char* allocating = "the same, allocating one";
  constexpr const char* copies = "allocation also copies pages while the others wait; not modelled";
  for (const Pause& p :
       {Pause{"pause-looped", demote, timed::PauseMode::looped, 1, 29.1, "interrupt.pause_*", "an SGI each"},
        Pause{"pause-bitmap", demote, timed::PauseMode::bitmap, 1, 11.6, "interrupt.pause_*", "v1"},
        Pause{"pause-counter", demote, timed::PauseMode::counter, 1, 6.7, "interrupt.pause_*", "v2"},
        Pause{"pause-1g-free-bitmap", freeing, timed::PauseMode::bitmap, 512, 12.5, "",
              "v1: 100 us for 8 pauses"},
        Pause{"pause-1g-free-counter", freeing, timed::PauseMode::counter, 512, 7.7, "",
              "v2: 62 us for 8 pauses"},
        Pause{"pause-1g-alloc-bitmap", allocating, timed::PauseMode::bitmap, 512, 26, "", copies},
        Pause{"pause-1g-alloc-counter", allocating, timed::PauseMode::counter, 512, 13, "", copies}})
    add({p.name, p.what, hvo_source, server, 200, "us", p.published_us, p.published_us, p.fitted, p.remark},
        pause(p.mode, p.descriptors));
  return all;
}

}  // namespace

std::vector<Prediction> predictions(const timed::Sampling& sampling) {
  std::vector<Prediction> all;
  for (const Row& row : rows()) {
    const timed::Profile profile = *timed::load_profile(row.published.profile);
    const MachineSetup on{row.published.cpus, profile.sockets_for(row.published.cpus)};
    std::vector<double> results;
    timed::for_each_sample(profile, sampling,
                           [&](const ParamValues& v) { results.push_back(row.ours(v, on)); });
    const timed::Percentiles<double> ours = timed::percentiles(std::move(results));
    Prediction p = row.published;
    p.ours = ours.median;
    p.ours_low = ours.low;
    p.ours_high = ours.high;
    all.push_back(p);
  }
  return all;
}

}  // namespace shootdown::scenario
