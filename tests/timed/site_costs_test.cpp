// SPDX-License-Identifier: MIT
// Strategy: call sites small enough to price by hand on a profile of round figures; then the command on files: its two
// formats, that counts pass through unchanged, and what it refuses.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "cli/time.hpp"
#include "machine/timed/profile_toml.hpp"
#include "scenario/site_costs.hpp"

namespace shootdown {
namespace {

using nlohmann::ordered_json;
using report::SiteCost;
using timed::Nanoseconds;
using timed::Param;

/// Every figure exact, so that every percentile is the one result.
timed::Profile exact() {
  timed::Profile p = *timed::load_profile("arm64-server");
  const auto set = [&](Param param, double value) { p[param].value = value; };
  set(Param::broadcast_base, 300);
  set(Param::broadcast_per_cpu, 1);
  set(Param::broadcast_issue, 10);
  set(Param::range_factor, 2);
  set(Param::range_per_64_pages, 1);
  set(Param::flush_all_factor, 3);
  set(Param::barrier_store, 7);
  set(Param::barrier_idle, 5);
  set(Param::local_flush, 30);
  set(Param::ipi_per_cpu_looped, 80);
  for (timed::Figure& f : p.figures) f.low = f.high = f.value;
  return p;
}

SiteCost site(const std::string& function) {
  SiteCost s;
  s.function = function;
  return s;
}
std::uint64_t& tlbi(SiteCost& s, vmsa::TlbiOp op) { return s.counts.tlbi[vmsa::tlbi_index(op)]; }
std::uint64_t& dsb(SiteCost& s, machine::Dsb kind) { return s.counts.dsb[static_cast<std::size_t>(kind)]; }

/// Times by function, and the sum under "".
std::map<std::string, double> priced(std::vector<SiteCost> sites) {
  report::SiteCosts costs;
  costs.sites = std::move(sites);
  costs.sampling.samples = 3;
  scenario::price_sites(costs, exact(), {100, 1});
  std::map<std::string, double> times;
  for (const SiteCost& s : costs.sites) {
    EXPECT_EQ(s.time.low, s.time.high);
    times[s.function] = s.time.median.value;
  }
  times[""] = costs.total.median.value;
  return times;
}

TEST(SiteCosts, AFlushIsABroadcastAndItsBarriers) {
  SiteCost s = site("flush");
  tlbi(s, vmsa::vaale1is) = dsb(s, machine::Dsb::ish) = dsb(s, machine::Dsb::ishst) = 10;
  EXPECT_DOUBLE_EQ(priced({s})["flush"], 10 * (7 + 400));
}

TEST(SiteCosts, OperationsBeforeOneBarrierShareItsWait) {
  SiteCost s = site("batch");
  tlbi(s, vmsa::vale1is) = 10;
  dsb(s, machine::Dsb::ish) = 2;
  EXPECT_DOUBLE_EQ(priced({s})["batch"], 2 * 400 + 8 * 10);
}

TEST(SiteCosts, AWaitElsewhereCompletesWhatIsOpen) {
  SiteCost issue = site("issue"), sync = site("sync"), later = site("later");
  tlbi(issue, vmsa::vale1is) = 6;
  dsb(sync, machine::Dsb::ish) = 3;
  const auto times = priced({issue, sync});
  EXPECT_DOUBLE_EQ(times.at("issue"), 60);
  EXPECT_DOUBLE_EQ(times.at("sync"), 3 * 400);
  EXPECT_DOUBLE_EQ(times.at(""), 60 + 1200);
  // Nine barriers cannot complete more than six operations: the other three find nothing.
  dsb(later, machine::Dsb::ish) = 6;
  const auto shared = priced({issue, sync, later});
  EXPECT_DOUBLE_EQ(shared.at("sync") + shared.at("later"), 6 * 400 + 3 * 5);
  // And where nothing is open they are barriers: a context switch beside a place that waits for its own batches.
  EXPECT_DOUBLE_EQ(priced({sync})["sync"], 3 * 5);
  dsb(issue, machine::Dsb::ish) = 1;
  EXPECT_DOUBLE_EQ(priced({issue, sync})["sync"], 3 * 5);
}

TEST(SiteCosts, RangesEverythingLocalAndInterrupts) {
  SiteCost s = site("range");
  tlbi(s, {.target = vmsa::TlbiTarget::va_all, .last_level = true, .range = true}) =
      dsb(s, machine::Dsb::ish) = 1;
  s.pages = 128;
  EXPECT_DOUBLE_EQ(priced({s})["range"], 2 * 400 + 2);
  s = site("all");
  tlbi(s, vmsa::vmalle1is) = dsb(s, machine::Dsb::ish) = 1;
  EXPECT_DOUBLE_EQ(priced({s})["all"], 3 * 400);
  s = site("local");
  tlbi(s, {.target = vmsa::TlbiTarget::va, .last_level = true, .broadcast = false}) =
      dsb(s, machine::Dsb::nsh) = dsb(s, machine::Dsb::nshst) = 1;
  EXPECT_DOUBLE_EQ(priced({s})["local"], 30 + 7);
  s = site("kick");
  s.counts.sgi = 3;
  EXPECT_DOUBLE_EQ(priced({s})["kick"], 240);
}

class TimeFrom : public testing::Test {
 protected:
  ~TimeFrom() override { std::filesystem::remove(path_); }
  void write(const std::string& call_sites) const {
    std::ofstream(path_)
        << R"({"command":"audit","kernel":"k","release":"7.2.13","workload":"w","call_sites":)" << call_sites
        << "}\n";
  }
  cli::TimeOptions options(const char* format = "json") const {
    cli::TimeOptions o;
    o.from = path_;
    o.format = format;
    o.samples = 50;
    return o;
  }
  struct Outcome {
    int code;
    std::string out, err;
  };
  static Outcome run(const cli::TimeOptions& o) {
    std::ostringstream out, err;
    const int code = cli::run_time_from(o, out, err);
    return {code, out.str(), err.str()};
  }
  std::string path_ = testing::TempDir() + "/shootdown-audit.json";
};

const char* const two_sites = R"([
  {"operation":"VAALE1IS","function":"f","callers":["g","h"],"count":262144,"pages":262144},
  {"operation":"DSB ISH","function":"f","callers":["g","h"],"count":262144},
  {"operation":"SGI","function":"kick","callers":[],"count":3},
  {"operation":"of another kind","function":"kick","callers":[],"count":3}])";

std::string on_one_line(std::string text) {
  std::erase(text, '\n');
  return text;
}

TEST_F(TimeFrom, CountsAreTheAuditsAndTimesHaveAnInterval) {
  write(on_one_line(two_sites));
  const Outcome o = run(options());
  ASSERT_EQ(o.code, 0) << o.err;
  std::vector<ordered_json> lines;
  std::istringstream in(o.out);
  for (std::string line; std::getline(in, line);) lines.push_back(ordered_json::parse(line));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[0]["function"].is_null());
  EXPECT_EQ(lines[1]["function"], "f");  // the dearest first
  EXPECT_EQ(lines[1]["callers"], ordered_json::parse(R"(["g","h"])"));
  EXPECT_EQ(lines[1]["tlbi"]["VAALE1IS"], 262144);
  EXPECT_EQ(lines[1]["dsb"]["ISH"], 262144);
  EXPECT_EQ(lines[2]["sgi"], 3);
  for (const ordered_json& line : lines) {
    EXPECT_LE(line["simulated_ns_low"], line["simulated_ns"]);
    EXPECT_LE(line["simulated_ns"], line["simulated_ns_high"]);
  }
  EXPECT_GT(lines[1]["simulated_ns"], 262144 * 300ull);
}

TEST_F(TimeFrom, Text) {
  write(on_one_line(two_sites));
  const Outcome o = run(options("text"));
  EXPECT_NE(o.out.find("audit of k (7.2.13), workload w\non neoverse-v2-72: 72 CPUs, 1 socket, range TLBI, "
                       "FEAT_BBM level 0\nthe profile's 48 figures: "),
            std::string::npos)
      << o.out;
  EXPECT_NE(o.out.find("|    262 144    262 144        0   f < g < h\n"), std::string::npos) << o.out;
}

TEST_F(TimeFrom, Refusals) {
  EXPECT_EQ(run(options()).code, 66);
  write("[]");
  EXPECT_EQ(run(options()).err, "shootdown: " + path_ + ": the audit has no call sites to price\n");
  EXPECT_EQ(run(options()).code, 65);
  write("[{\"operation\":\"SGI\"}]");
  EXPECT_EQ(run(options()).err,
            "shootdown: " + path_ + ": a call site without operation, function and count\n");
  EXPECT_EQ(run(options()).code, 65);
  write(on_one_line(two_sites));
  cli::TimeOptions o = options();
  o.strategies = {"P"};
  EXPECT_EQ(run(o).err, "shootdown: --strategy says nothing with --from: what was done is in the audit\n");
  EXPECT_EQ(run(o).code, 64);
  o = options();
  o.profile = "nothing";
  EXPECT_EQ(run(o).code, 64);
}

}  // namespace
}  // namespace shootdown
