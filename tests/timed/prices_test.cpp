// SPDX-License-Identifier: MIT
// Strategy: small hand-made ledgers against sums done by hand, and public measurements that were not used to
// choose a figure (contention, pauses) against what the system makes of the figures.
#include <gtest/gtest.h>

#include "machine/timed/profile_toml.hpp"
#include "machine/timed/system.hpp"
#include "machine/timed/uncertainty.hpp"

namespace shootdown::timed {
namespace {

ParamValues round_values() {
  ParamValues v = load_profile("arm64-server")->central();
  v[Param::broadcast_base] = 300;
  v[Param::broadcast_per_cpu] = 1;
  v[Param::broadcast_per_socket] = 1000;
  v[Param::broadcast_service] = 100;
  v[Param::broadcast_issue] = 10;
  v[Param::broadcast_queue_depth] = 4;
  v[Param::broadcast_backpressure] = 0.5;
  v[Param::range_factor] = 2;
  v[Param::range_per_64_pages] = 1;
  v[Param::flush_all_factor] = 3;
  v[Param::barrier_store] = 7;
  v[Param::barrier_idle] = 5;
  v[Param::isb] = 3;
  return v;
}

TEST(Prices, LatencyGrowsWithCpusAndSockets) {
  EXPECT_EQ(Prices(round_values(), {100, 1}).broadcast(), Nanoseconds(400));
  EXPECT_EQ(Prices(round_values(), {100, 2}).broadcast(), Nanoseconds(1400));
}

/// The service time was measured with many issuers, who get into each other's way.
TEST(Prices, ALoneIssuerDoesNotPayForTheContentionOfMany) {
  ParamValues v = round_values();
  v[Param::broadcast_service] = 900;
  EXPECT_EQ(Prices(v, {100, 1}).broadcast(), Nanoseconds(400));
  EXPECT_EQ(Prices(v, {1, 1, Load::mprotect}).broadcast_beside_load(Nanoseconds(10)), Nanoseconds(301));
  System system(v, {100, 1});
  for (int i = 0; i < 10; ++i) system.broadcast(0, {.singles = 1});
  EXPECT_EQ(system.now(0), Nanoseconds(10 * 400));
  for (int i = 0; i < 10; ++i)
    for (unsigned cpu = 1; cpu < 5; ++cpu) system.broadcast(cpu, {.singles = 1});
  EXPECT_NEAR(system.now(1).value, 10 * 4 * 900, 4 * 900);
}

/// What made every machine of up to 50 CPUs as slow as one that many saturate.
TEST(Prices, OnEachProfileABroadcastGrowsWithCpus) {
  for (const BuiltinProfile& b : builtin_profiles()) {
    const Profile profile = *load_profile(b.name);
    Nanoseconds before;
    for (unsigned cpus : {1u, 2u, 8u, 32u, 64u, 256u}) {
      const Nanoseconds now = Prices(profile.central(), {cpus, profile.sockets_for(cpus)}).broadcast();
      EXPECT_GT(now, before) << b.name << ' ' << cpus;
      before = now;
    }
    EXPECT_EQ(
        Prices(profile.central(), {1, 1}).broadcast(),
        profile.central().time(Param::broadcast_base) + profile.central().time(Param::broadcast_per_cpu));
  }
}

TEST(Prices, BatchesOverlapUntilTheQueueIsFull) {
  const Prices prices(round_values(), {100, 1});
  EXPECT_EQ(prices.batch({.singles = 1}), Nanoseconds(400));
  EXPECT_EQ(prices.batch({.singles = 4}), Nanoseconds(400 + 3 * 10));
  // Two more than the queue holds: each waits for a slot, 50 ns instead of the 10 that issuing takes.
  EXPECT_EQ(prices.batch({.singles = 6}), Nanoseconds(400 + 5 * 10 + 2 * 40));
  EXPECT_EQ(prices.batch({.ranges = 1, .range_pages = 512}), Nanoseconds(2 * 400 + 8));
  EXPECT_EQ(prices.batch({.alls = 1}), Nanoseconds(3 * 400));
}

TEST(Prices, AFlushIsItsBarriersToo) {
  Ledger ledger;
  const Phase unmap{Region::linear, Pass::unmap};
  ledger.phases[unmap.index()][Event::flush_leaf] = 10;
  const Breakdown b = Prices(round_values(), {100, 1}).breakdown(ledger);
  EXPECT_EQ(b[Cost::linear_leaf_flush], Nanoseconds(10 * (7 + 400 + 3)));
  EXPECT_EQ(b.total(), b[Cost::linear_leaf_flush]);
}

TEST(Prices, OneByOneAndFoldedFlushesCostTheSame) {
  const Phase unmap{Region::linear, Pass::unmap};
  Ledger folded;
  folded.phases[unmap.index()][Event::flush_leaf] = 1;
  Ledger spelt;
  Tally& t = spelt.phases[unmap.index()];
  t.dsb[static_cast<std::size_t>(machine::Dsb::ishst)] = 1;
  t.dsb[static_cast<std::size_t>(machine::Dsb::ish)] = 1;
  t[Event::isb] = 1;
  spelt.add_batch(unmap.index(), {.singles = 1});
  const Prices prices(round_values(), {100, 1});
  EXPECT_EQ(prices.total(folded), prices.total(spelt));
}

/// Faults of two TLBI+DSB each, in a loop on m CPUs (R. Koller, 2023). The machine is the N1 profile; its service time
/// comes from the plateau, that the latency is linear in m does not.
TEST(System, LatencyUnderContentionIsLinearInTheIssuers) {
  const Profile n1 = *load_profile("neoverse-n1-2x80");
  struct Row {
    unsigned issuers;
    double published_us;
  };
  for (const Row row : {Row{16, 18.6}, Row{32, 39}, Row{64, 78}, Row{128, 156}}) {
    System system(medians(n1), {160, 2});
    constexpr unsigned faults = 64;
    for (unsigned i = 0; i < row.issuers * faults * 2; ++i) {
      unsigned next = 0;
      for (unsigned cpu = 1; cpu < row.issuers; ++cpu)
        if (system.now(cpu) < system.now(next)) next = cpu;
      system.broadcast(next, {.singles = 1});
    }
    double latest = 0;
    for (unsigned cpu = 0; cpu < row.issuers; ++cpu) latest = std::max(latest, system.now(cpu).value);
    EXPECT_NEAR(latest / faults / 1e3, row.published_us, 0.1 * row.published_us) << row.issuers;
  }
}

/// Yu Zhao, 2024: what the figures were fitted to.
TEST(System, PausesOf200Cpus) {
  const ParamValues v = load_profile("arm64-server")->central();
  const auto pause = [&](PauseMode mode) {
    System system(v, {200, 1});
    system.pause_others(0, mode, Nanoseconds(0));
    EXPECT_EQ(system.sgi_count(), 199u);
    EXPECT_EQ(system.bystanders().interrupted_cpus, 199u);
    return system.now(0).value / 1e3;
  };
  EXPECT_NEAR(pause(PauseMode::looped), 29.1, 0.5);
  EXPECT_NEAR(pause(PauseMode::bitmap), 11.5, 0.3);
  EXPECT_NEAR(pause(PauseMode::counter), 6.5, 0.3);
}

TEST(System, BroadcastsInterruptNobodyAndStealFromAll) {
  const ParamValues v = load_profile("arm64-server")->central();
  System system(v, {8, 1});
  Ledger ledger;
  ledger.phases[0][Event::flush_leaf] = 1000;
  system.run(0, ledger);
  const Bystanders b = system.bystanders();
  EXPECT_EQ(b.interrupted_cpus, 0u);
  EXPECT_EQ(b.stolen_total, v.time(Param::receive_stall) * (7 * 1000));
  EXPECT_EQ(b.stall_max, v.time(Param::receive_stall));
  EXPECT_EQ(system.now(0), system.prices().total(ledger));
  EXPECT_EQ(system.now(1), Nanoseconds(0));
}

TEST(System, AFlushAllMakesEveryoneWalkAgain) {
  const ParamValues v = load_profile("arm64-server")->central();
  System one(v, {2, 1});
  one.broadcast(0, {.singles = 1});
  System all(v, {2, 1});
  all.broadcast(0, {.alls = 1});
  EXPECT_GT(all.bystanders().stolen_total.value, 100 * one.bystanders().stolen_total.value);
  EXPECT_GT(all.bystanders().stall_max, one.bystanders().stall_max);
}

TEST(System, NobodyLosesMoreTimeThanThereIs) {
  const ParamValues v = load_profile("neoverse-n1-2x80")->central();
  System system(v, {160, 2});
  Ledger ledger;
  Tally& t = ledger.phases[0];
  t.tlbi[vmsa::tlbi_index(vmsa::vmalle1is)] = 1000;
  t.dsb[static_cast<std::size_t>(machine::Dsb::ish)] = 1000;
  ledger.add_batch(0, {.alls = 1}, 1000);
  system.run(0, ledger);
  const Nanoseconds each(system.bystanders().stolen_total.value / 159);
  EXPECT_GE(each.value, system.now(0).value);
  EXPECT_LE(each.value, 1.2 * system.now(0).value);
}

TEST(System, InterruptsOffSectionsDelayThoseWhoWait) {
  const ParamValues v = load_profile("arm64-server")->central();
  System quiet(v, {64, 1});
  quiet.interrupt_others(0, SgiMode::broadcast);
  System busy(v, {64, 1, Load::syscalls});
  busy.interrupt_others(0, SgiMode::broadcast);
  EXPECT_EQ(quiet.interrupts_off_wait(63), Nanoseconds(0));
  EXPECT_EQ(busy.now(0) - quiet.now(0), busy.interrupts_off_wait(63));
  EXPECT_LT(busy.interrupts_off_wait(63), v.time(Param::interrupts_off_longest));
  EXPECT_LT(busy.interrupts_off_wait(1), busy.interrupts_off_wait(63));
}

TEST(System, LoopedInterruptsCostMoreThanBroadcastOnes) {
  const ParamValues v = load_profile("arm64-server")->central();
  System looped(v, {200, 1}), broadcast(v, {200, 1});
  looped.interrupt_others(0, SgiMode::looped);
  broadcast.interrupt_others(0, SgiMode::broadcast);
  EXPECT_GT(looped.now(0), broadcast.now(0));
  EXPECT_EQ(looped.bystanders().stolen_total, broadcast.bystanders().stolen_total);
}

TEST(System, StopMachineAndGracePeriods) {
  const ParamValues v = load_profile("arm64-server")->central();
  System system(v, {200, 1});
  system.stop_machine(0, Nanoseconds(1000));
  EXPECT_GE(system.now(0).value, 50e3);  // 50 to 200 us at 200 idle CPUs
  EXPECT_LE(system.now(0).value, 200e3);
  EXPECT_EQ(system.bystanders().stall_max, system.now(0));

  const Nanoseconds before = system.now(1);
  const Nanoseconds runs_at = system.call_rcu(1);
  EXPECT_EQ(system.now(1) - before, v.time(Param::rcu_callback));
  EXPECT_GE((runs_at - system.now(1)).value, 8e6);
  system.synchronize_rcu(2, false);
  EXPECT_EQ(system.now(2), v.time(Param::rcu_grace_period));
  system.synchronize_rcu(3, true);
  EXPECT_LT(system.now(3), system.now(2));
}

}  // namespace
}  // namespace shootdown::timed
