// SPDX-License-Identifier: MIT
// Strategy: the arithmetic of the rows against a simulation of what they are about; the list is complete, honest about
// what was fitted, and what is a prediction today is written down with its verdict: a change of a profile shows here.
#include "scenario/predictions.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "machine/timed/profile_toml.hpp"
#include "machine/timed/system.hpp"
#include "report/time.hpp"

namespace shootdown::scenario {
namespace {

using timed::Nanoseconds;
using timed::Param;

const std::vector<Prediction>& all() {
  static const std::vector<Prediction> list = predictions({});
  return list;
}
const Prediction& named(std::string_view name) {
  for (const Prediction& p : all())
    if (p.name == name) return p;
  ADD_FAILURE() << "no prediction " << name;
  return all().front();
}

TEST(Predictions, EachHasANameASourceAndAnInterval) {
  std::set<std::string_view> names;
  for (const Prediction& p : all()) {
    EXPECT_TRUE(names.insert(p.name).second) << p.name;
    EXPECT_FALSE(p.what.empty() || p.source.empty() || p.unit.empty()) << p.name;
    EXPECT_LE(p.published_low, p.published_high) << p.name;
    EXPECT_LE(p.ours_low, p.ours) << p.name;
    EXPECT_LE(p.ours, p.ours_high) << p.name;
    EXPECT_TRUE(timed::load_profile(p.profile)) << p.profile;
  }
}

TEST(Predictions, WhatMissesIsKnownAndExplained) {
  std::set<std::string> missed;
  for (const Prediction& p : all()) {
    if (p.inside() || !p.fitted.empty()) continue;
    missed.insert(std::string(p.name));
    EXPECT_FALSE(p.remark.empty()) << p.name << " misses without a word";
  }
  EXPECT_EQ(missed, (std::set<std::string>{"unmap-batching", "stage2-unmap", "parallel-tlbi",
                                           "mprotect-32-processes", "stress-ng-32", "victim-of-mprotect",
                                           "pause-1g-alloc-bitmap", "pause-1g-alloc-counter"}));
}

TEST(Predictions, WhatWasFittedFits) {
  for (const Prediction& p : all()) EXPECT_TRUE(p.fitted.empty() || p.inside()) << p.name;
}

TEST(Predictions, DocsCostSaysWhatTheyAre) {
  std::ostringstream text;
  text << std::ifstream(SHOOTDOWN_SOURCE_DIR "/docs/cost.md").rdbuf();
  const std::string docs = text.str();
  std::size_t predicted = 0, missed = 0;
  for (const Prediction& p : all()) {
    const std::string published = p.published_low == p.published_high
                                      ? report::readable_number(p.published_low)
                                      : fmt::format("{} .. {}", report::readable_number(p.published_low),
                                                    report::readable_number(p.published_high));
    const std::string row = fmt::format(
        "| `{}` | {}{} | {} | {} .. {} | {} | {} |\n", p.name, published,
        p.unit == "1" ? std::string() : fmt::format(" {}", p.unit), report::readable_number(p.ours),
        report::readable_number(p.ours_low), report::readable_number(p.ours_high),
        p.inside() ? "inside" : "**misses**", p.fitted.empty() ? "predicted" : "fitted");
    EXPECT_NE(docs.find(row), std::string::npos) << row;
    predicted += p.fitted.empty() ? 1 : 0;
    missed += p.fitted.empty() && !p.inside() ? 1 : 0;
  }
  const std::string sum = fmt::format(
      "{} public measurements that no figure was chosen to meet, of which {} miss, and {} that were",
      predicted, missed, all().size() - predicted);
  EXPECT_NE(docs.find(sum), std::string::npos) << sum;
}

/// The closed form of `m` CPUs that fault, over and over: 3.2 us less the local flushes, then two broadcasts.
TEST(Predictions, FaultsAreWhatASimulationOfTheServerGives) {
  const timed::Profile n1 = *timed::load_profile("neoverse-n1-2x80");
  const timed::ParamValues v = timed::medians(n1);
  const Nanoseconds store = v.time(Param::barrier_store);
  const Nanoseconds own = Nanoseconds(3200) - (store + v.time(Param::local_flush)) * 2;
  for (unsigned issuers : {1u, 4u, 8u, 16u, 64u, 152u}) {
    timed::System system(v, {160, 2});
    constexpr unsigned faults = 64;
    for (unsigned i = 0; i < issuers * faults * 2; ++i) {
      unsigned next = 0;
      for (unsigned cpu = 1; cpu < issuers; ++cpu)
        if (system.now(cpu) < system.now(next)) next = cpu;
      system.work(next, store);
      system.broadcast(next, {.singles = 1});
      if (i / issuers % 2 == 1) system.work(next, own);
    }
    double latest = 0;
    for (unsigned cpu = 0; cpu < issuers; ++cpu) latest = std::max(latest, system.now(cpu).value);
    const Prediction& row = named("kvm-fault-" + std::to_string(issuers));
    EXPECT_NEAR(latest / faults / 1e3, row.ours, 0.15 * row.ours) << issuers;
  }
}

}  // namespace
}  // namespace shootdown::scenario
