// SPDX-License-Identifier: MIT
// Strategy: what each load loses to the same removal, in the order that its description promises; the closed form of
// contention against a simulation broadcast by broadcast; and sequences of the shape that other procedures have: pauses
// around work that a ledger holds, gathers that end in an interrupt or a callback.
#include <gtest/gtest.h>

#include <functional>

#include "machine/timed/profile_toml.hpp"
#include "machine/timed/system.hpp"

namespace shootdown::timed {
namespace {

constexpr unsigned cpus = 72;
constexpr Phase unmap{Region::linear, Pass::unmap};

ParamValues grace() { return load_profile("neoverse-v2-72")->central(); }

/// 100 000 pages, each cleared and flushed; or cleared and then flushed all at once.
Ledger per_leaf() {
  Ledger ledger;
  ledger.phases[unmap.index()][Event::descriptor_clear] = 100'000;
  ledger.phases[unmap.index()][Event::flush_leaf] = 100'000;
  return ledger;
}
Ledger at_once() {
  Ledger ledger;
  Tally& t = ledger.phases[unmap.index()];
  t[Event::descriptor_clear] = 100'000;
  t.tlbi[vmsa::tlbi_index(vmsa::vmalle1is)] = 1;
  t.dsb[static_cast<std::size_t>(machine::Dsb::ish)] = 1;
  ledger.add_batch(unmap.index(), {.alls = 1});
  return ledger;
}

struct Outcome {
  Nanoseconds took;
  Bystanders others;
};
Outcome outcome(const Ledger& ledger, Load load) {
  System system(grace(), {cpus, 1, load});
  system.run(0, ledger);
  return {system.now(0), system.bystanders()};
}

TEST(Load, NothingCanBeStolenFromAnIdleCpu) {
  for (const Ledger& ledger : {per_leaf(), at_once()}) {
    const Outcome idle = outcome(ledger, Load::idle);
    EXPECT_EQ(idle.others.stolen_total, Nanoseconds(0));
    EXPECT_EQ(idle.others.stall_max, Nanoseconds(0));
    EXPECT_EQ(idle.took, outcome(ledger, Load::compute).took);
  }
}

TEST(Load, AnIdleCpuIsInterruptedAllTheSame) {
  System system(grace(), {cpus, 1, Load::idle});
  system.interrupt_others(0, SgiMode::looped);
  EXPECT_EQ(system.bystanders().interrupted_cpus, cpus - 1);
  EXPECT_EQ(system.bystanders().stolen_total, Nanoseconds(0));
}

TEST(Load, MemoryLosesMoreToAFlushOfEverythingAndAsMuchToOthers) {
  EXPECT_GT(outcome(at_once(), Load::memory).others.stolen_total.value,
            2 * outcome(at_once(), Load::compute).others.stolen_total.value);
  EXPECT_EQ(outcome(per_leaf(), Load::memory).others.stolen_total,
            outcome(per_leaf(), Load::compute).others.stolen_total);
}

TEST(Load, MprotectAndTheRemoverSlowEachOtherDown) {
  const Outcome alone = outcome(per_leaf(), Load::compute);
  const Outcome beside = outcome(per_leaf(), Load::mprotect);
  EXPECT_GT(beside.took, alone.took);
  EXPECT_GT(beside.others.stolen_total, alone.others.stolen_total);
  EXPECT_GT(beside.others.stall_max, alone.others.stall_max);
  // One flush at the end meets nobody often enough to matter.
  const Outcome once = outcome(at_once(), Load::mprotect);
  EXPECT_LT(once.took.value, 1.01 * outcome(at_once(), Load::compute).took.value);
  EXPECT_LT(once.others.stolen_total, Nanoseconds(0.1 * beside.others.stolen_total.value));
}

/// Mean time that CPU 0 waits for a broadcast when each CPU broadcasts after `think` of its own work, over and over.
double simulated_wait(System& system, const std::function<Nanoseconds(unsigned)>& think) {
  constexpr unsigned rounds = 2000;
  double waited = 0;
  for (unsigned cpu = 1; cpu < system.cpu_count(); ++cpu)  // not all of them at the same moment
    system.work(cpu, think(cpu) * (cpu / (system.cpu_count() - 1.0)));
  if (system.cpu_count() > 1) system.work(0, think(1));  // when they begin to arrive
  for (unsigned done = 0; done < rounds;) {
    unsigned next = 0;
    for (unsigned cpu = 1; cpu < system.cpu_count(); ++cpu)
      if (system.now(cpu) + think(cpu) < system.now(next) + think(next)) next = cpu;
    system.work(next, think(next));
    const Nanoseconds began = system.now(next);
    system.broadcast(next, {.singles = 1});
    if (next != 0) continue;
    if (done++ >= rounds / 2) waited += (system.now(0) - began).value;
  }
  return waited / (rounds / 2);
}

TEST(Load, TheClosedFormOfContentionIsWhatASimulationGives) {
  struct Case {
    unsigned cpus;
    double apart_ns, interval_ns;
    double service_ns = 300;  // 900: well above what a lone issuer needs
  };
  for (const Case c : {Case{72, 10, 2500}, Case{72, 10, 20'000}, Case{72, 4000, 2500}, Case{16, 10, 2500},
                       Case{160, 1000, 50'000}, Case{2, 10, 100}, Case{72, 10, 1e6}, Case{8, 10, 1e6, 900},
                       Case{72, 10, 1e6, 900}, Case{72, 10, 20'000, 900}, Case{1, 10, 2500, 900}}) {
    ParamValues v = grace();
    v[Param::broadcast_service] = c.service_ns;
    v[Param::broadcast_interval] = c.interval_ns;
    const Prices prices(v, {c.cpus, 1, Load::mprotect});
    System system(v, {c.cpus, 1});
    const double wait = simulated_wait(
        system, [&](unsigned cpu) { return Nanoseconds(cpu == 0 ? c.apart_ns : c.interval_ns); });
    EXPECT_NEAR(prices.broadcast_beside_load(Nanoseconds(c.apart_ns)).value, wait, 0.1 * wait)
        << c.cpus << ' ' << c.apart_ns << ' ' << c.interval_ns;
  }
}

/// The shape of a vmemmap remap with the others paused: work that a ledger holds, done while nobody else moves.
TEST(Shape, PausesAroundWork) {
  for (PauseMode mode : {PauseMode::looped, PauseMode::bitmap, PauseMode::counter}) {
    System quiet(grace(), {cpus, 1});
    System in_kernel(grace(), {cpus, 1, Load::syscalls});
    for (System* system : {&quiet, &in_kernel})
      for (int page = 0; page < 3; ++page) system->pause_others(0, mode, system->prices().total(at_once()));
    EXPECT_GT(quiet.now(0).value, 3 * quiet.prices().total(at_once()).value);
    EXPECT_DOUBLE_EQ(quiet.bystanders().stolen_total.value, quiet.now(0).value * (cpus - 1.0));
    EXPECT_DOUBLE_EQ(quiet.bystanders().stall_max.value * 3, quiet.now(0).value);
    EXPECT_EQ(quiet.bystanders().interrupted_cpus, cpus - 1);
    // Sections with interrupts off keep each pause waiting.
    EXPECT_NEAR((in_kernel.now(0) - quiet.now(0)).value / 3, in_kernel.interrupts_off_wait(cpus - 1).value,
                1e-3);
  }
}

/// The shape of a gather that frees tables: flush, then an interrupt to all, a callback, or the whole machine stopped.
TEST(Shape, GathersThatFreeTables) {
  const auto gather = [](Load load, const std::function<void(System&)>& then) {
    System system(grace(), {cpus, 1, load});
    system.run(0, per_leaf());
    then(system);
    return Outcome{system.now(0), system.bystanders()};
  };
  const auto interrupt = [](System& s) { s.interrupt_others(0, SgiMode::broadcast); };
  const auto callback = [](System& s) { EXPECT_GT(s.call_rcu(0), s.now(0)); };
  const auto stop = [](System& s) { s.stop_machine(0, Nanoseconds(0)); };
  EXPECT_EQ(gather(Load::compute, callback).others.interrupted_cpus, 0u);
  EXPECT_EQ(gather(Load::compute, interrupt).others.interrupted_cpus, cpus - 1);
  EXPECT_LT(gather(Load::compute, callback).took, gather(Load::compute, interrupt).took);
  EXPECT_LT(gather(Load::compute, interrupt).took, gather(Load::compute, stop).took);
  EXPECT_GT(gather(Load::syscalls, interrupt).took, gather(Load::compute, interrupt).took);
  EXPECT_EQ(gather(Load::syscalls, callback).took, gather(Load::compute, callback).took);
}

}  // namespace
}  // namespace shootdown::timed
