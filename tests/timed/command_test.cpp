// SPDX-License-Identifier: MIT
// Strategy: the command as a function: what it refuses and with which code, the keys of its JSON, that a sweep cut off
// anywhere ends in the same file, and that results do not depend on the number of threads.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "cli/time.hpp"
#include "cli/time_plan.hpp"
#include "report/plot.hpp"

namespace shootdown::cli {
namespace {

using nlohmann::ordered_json;

struct Outcome {
  int code;
  std::string out;
  std::string err;
};
Outcome run(const TimeOptions& options) {
  std::ostringstream out, err;
  const int code = run_time(options, out, err);
  return {code, out.str(), err.str()};
}
TimeOptions small(const char* strategy = "B") {
  TimeOptions o;
  o.strategies = {strategy};
  o.memory = "1G";
  o.samples = 50;
  o.format = "json";
  return o;
}
std::string refusal(const TimeOptions& o, int code) {
  const Outcome outcome = run(o);
  EXPECT_EQ(outcome.code, code);
  EXPECT_EQ(outcome.out, "");
  return outcome.err;
}
/// Lines without what differs from run to run.
std::vector<ordered_json> stable_lines(const std::string& text) {
  std::vector<ordered_json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    ordered_json json = ordered_json::parse(line);
    json.erase("host_seconds");
    lines.push_back(json);
  }
  return lines;
}
std::string contents(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(TimeCommand, JsonHasTheDocumentedKeys) {
  const Outcome outcome = run(small());
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const ordered_json json = ordered_json::parse(outcome.out);
  for (const char* key : {"command",
                          "scenario",
                          "strategy",
                          "granule",
                          "va_bits",
                          "cpus",
                          "memory_bytes",
                          "profile",
                          "sockets",
                          "range_tlbi",
                          "bbm",
                          "figures",
                          "remarks",
                          "profile_digest",
                          "dominant",
                          "longest_stretch_ns",
                          "simulated_ns",
                          "simulated_ns_low",
                          "simulated_ns_high",
                          "counts",
                          "breakdown_ns",
                          "bystanders",
                          "load",
                          "rcu_stall_warning",
                          "host_seconds",
                          "host_peak_bytes"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["granule"], "4k");
  EXPECT_EQ(json["memory_bytes"], 1u << 30);
  EXPECT_EQ(json["counts"]["tlbi"]["RVAALE1IS"], 1);
  EXPECT_EQ(json["counts"]["tlbi"]["VAALE1IS"], 8);
  EXPECT_TRUE(json["counts"]["instructions"].is_null());
  std::uint64_t sum = 0;
  for (const auto& part : json["breakdown_ns"]) sum += part.get<std::uint64_t>();
  EXPECT_NEAR(static_cast<double>(sum), json["simulated_ns"].get<double>(), 12);
  EXPECT_LE(json["simulated_ns_low"], json["simulated_ns_high"]);
}

TEST(TimeCommand, TheSameSeedGivesTheSameFigures) {
  TimeOptions one = small();
  one.strategies = {};
  TimeOptions two = one;
  one.jobs = 1;
  two.jobs = 4;
  EXPECT_EQ(stable_lines(run(one).out), stable_lines(run(two).out));
}

/// Written down once: a change of a formula, of a profile or of the sampling shows here, on any machine.
TEST(TimeCommand, FiguresDoNotDependOnTheMachineThatComputesThem) {
  TimeOptions o = small("P");
  o.profile = "small-8";
  o.memory = "128M";
  o.samples = 100;
  const ordered_json json = ordered_json::parse(run(o).out);
  EXPECT_EQ(json["simulated_ns"], 9367869);
  EXPECT_EQ(json["simulated_ns_low"], 5661183);
  EXPECT_EQ(json["simulated_ns_high"], 14390178);
}

TEST(TimeCommand, WhatThePostsSay) {
  TimeOptions o = small();
  o.strategies = {"P", "B"};
  o.memory = "2G";
  const auto lines = stable_lines(run(o).out);
  // 48478b9f7913: 97 % less for 2 GB, in a guest. Ours, on bare metal: a little more.
  const double saved = 1 - lines[1]["simulated_ns"].get<double>() / lines[0]["simulated_ns"].get<double>();
  EXPECT_GT(saved, 0.96);
  EXPECT_LT(saved, 0.995);
}

TEST(TimeCommand, TheErratumDoublesWhatIsSynchronous) {
  TimeOptions o = small("P");
  const double off = ordered_json::parse(run(o).out)["simulated_ns"];
  o.erratum = "on";
  const ordered_json on = ordered_json::parse(run(o).out);
  EXPECT_GT(on["simulated_ns"].get<double>(), 1.85 * off);
  EXPECT_EQ(on["counts"]["tlbi"]["VALE1IS"], on["counts"]["isb"]);
}

TEST(TimeCommand, TheOthersLoseMoreToPThanToT) {
  for (const char* load : {"compute", "syscalls", "memory", "mprotect"}) {
    TimeOptions o = small();
    o.strategies = {"P", "B", "T"};
    o.memory = "16G";  // large enough for one flush of everything
    o.load = load;
    const auto lines = stable_lines(run(o).out);
    const auto stolen = [&](std::size_t i) {
      return lines[i]["bystanders"]["stolen_ns_total"].get<double>();
    };
    EXPECT_EQ(lines[0]["load"], load);
    EXPECT_GT(stolen(0), 4 * stolen(1)) << load;
    EXPECT_GT(stolen(1), stolen(2)) << load;
    EXPECT_GT(stolen(2), 0) << load;
    for (const auto& line : lines) EXPECT_EQ(line["bystanders"]["interrupted_cpus"], 0);
  }
}

TEST(TimeCommand, MappingFollowsTheProfile) {
  TimeOptions o = small("P");
  EXPECT_EQ(ordered_json::parse(run(o).out)["mapping"], "pages");
  o.profile = "bbml2-192";
  EXPECT_EQ(ordered_json::parse(run(o).out)["mapping"], "blocks");
  o.granule = "64k";
  EXPECT_EQ(ordered_json::parse(run(o).out)["mapping"], "contpmd");
}

TEST(TimeCommand, TextSaysWhatIsExactAndWhatIsNot) {
  TimeOptions o = small();
  o.format = "text";
  const Outcome outcome = run(o);
  EXPECT_NE(outcome.out.find("Counts are exact. Times are estimates"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("hot-remove of 1G, 4K pages"), std::string::npos);
}

std::string text_of(TimeOptions o) {
  o.format = "text";
  return run(o).out;
}

TEST(TimeCommand, TheHeaderSaysWhatTheMachineHas) {
  TimeOptions o = small();
  EXPECT_NE(text_of(o).find("on neoverse-v2-72: 72 CPUs, 1 socket, range TLBI, FEAT_BBM level 0; load of the "
                            "others compute; repeat-TLBI erratum workaround off\n"),
            std::string::npos)
      << text_of(o);
  o.profile = "bbml2-192";
  o.sockets = "3";
  EXPECT_NE(text_of(o).find("192 CPUs, 3 sockets, range TLBI, FEAT_BBM level 2 without conflict aborts;"),
            std::string::npos);
  ordered_json json = ordered_json::parse(run(o).out);
  EXPECT_EQ(json["sockets"], 3);
  EXPECT_EQ(json["range_tlbi"], true);
  EXPECT_EQ(json["bbm"], "level2_no_abort");
  o.profile = "small-8";
  o.sockets = "";
  EXPECT_NE(text_of(o).find("8 CPUs, 1 socket, no range TLBI, FEAT_BBM level 0;"), std::string::npos);
  o.sweeps = {"cpus=1..2"};
  EXPECT_NE(text_of(o).find("on small-8, no range TLBI, FEAT_BBM level 0, load"), std::string::npos);
}

TEST(TimeCommand, ARowSaysWhichTlbiItIssues) {
  const std::string text = text_of(small("P"));
  EXPECT_NE(text.find("   262 152 VAALE1IS, 513 VAAE1IS\n"), std::string::npos) << text;
}

TEST(TimeCommand, AStrategyThatTurnsIntoAnotherSaysSo) {
  TimeOptions o = small("R");
  EXPECT_EQ(ordered_json::parse(run(o).out)["remarks"], ordered_json::array());
  o.profile = "neoverse-n1-2x80";
  EXPECT_EQ(ordered_json::parse(run(o).out)["remarks"],
            ordered_json({"no range TLBI: 512 flushes of everything instead of ranges"}));
  EXPECT_NE(text_of(o).find(
                "513 VAAE1IS, 512 VMALLE1IS, 8 VAALE1IS; no range TLBI: 512 flushes of everything instead of "
                "ranges\n"),
            std::string::npos)
      << text_of(o);
  o = small("B");
  o.memory = "16G";
  EXPECT_EQ(ordered_json::parse(run(o).out)["remarks"],
            ordered_json({"range too long: one flush of everything instead of a range"}));
}

TEST(TimeCommand, SocketsCost) {
  TimeOptions o = small("P");
  const double one = ordered_json::parse(run(o).out)["simulated_ns"];
  o.sockets = "2";
  EXPECT_GT(ordered_json::parse(run(o).out)["simulated_ns"].get<double>(), 1.5 * one);
}

/// A profile of the user's own is worth what was measured on the machine; the rest is somebody else's.
TEST(TimeCommand, AProfileSaysHowMuchOfItWasMeasured) {
  TimeOptions o = small();
  EXPECT_NE(text_of(o).find("the profile's 48 figures: 0 measured on this machine, "), std::string::npos);
  const std::string path = testing::TempDir() + "/shootdown-mine.toml";
  std::ofstream(path) << "base = \"small-8\"\n[barrier]\nisb = { value = 11, unit = \"ns\" }\n"
                         "idle = { value = 12, unit = \"ns\" }\n[broadcast]\nbase = { value = 0.4, unit = "
                         "\"us\", range = [0.3, 0.5], status = \"derived\", source = \"a paper\" }\n";
  o.profile = path;
  EXPECT_NE(text_of(o).find("the profile's 48 figures: 2 measured on this machine, "), std::string::npos)
      << text_of(o);
  EXPECT_EQ(ordered_json::parse(run(o).out)["figures"]["user"], 2);
  std::filesystem::remove(path);
}

TEST(TimeCommandNegative, DecimalSizes) {
  TimeOptions o = small();
  o.memory = "480GB";
  EXPECT_EQ(refusal(o, 64),
            "shootdown: --memory 480GB: GB is decimal, and memory comes in powers of two; write 480G for 480 "
            "GiB\n");
  o.sweeps = {"memory=1GB..4T"};
  EXPECT_EQ(
      refusal(o, 64),
      "shootdown: --sweep memory=1GB..4T: 1GB: GB is decimal, and memory comes in powers of two; write 1G "
      "for 1 GiB\n");
}

TEST(TimeCommandNegative, Sockets) {
  for (const char* sockets : {"0", "-1", "65", "two", "1.5"}) {
    TimeOptions o = small();
    o.sockets = sockets;
    EXPECT_EQ(refusal(o, 64),
              std::string("shootdown: --sockets ") + sockets + ": expected a number from 1 to 64\n");
  }
  TimeOptions o = small();
  o.sockets = "4";
  o.sweeps = {"cpus=2..8"};
  EXPECT_EQ(refusal(o, 64), "shootdown: --sockets 4: more than there are CPUs (2)\n");
}

TEST(TimeCommandNegative, Options) {
  TimeOptions o = small("Q");
  EXPECT_EQ(refusal(o, 64),
            "shootdown: unknown strategy 'Q'; did you mean 'P'? (there are: P, R0, R, B, L, T, "
            "freed-before-flush, all)\n");
  o = small();
  o.granule = "8k";
  EXPECT_EQ(refusal(o, 64),
            "shootdown: unknown granule '8k'; did you mean '4k'? (there are: 4k, 16k, 64k, all)\n");
  o = small();
  o.va_bits = "47";
  EXPECT_EQ(refusal(o, 64), "shootdown: no 47-bit VA with granule 4k; there are 39, 48, 52, all\n");
  o = small();
  o.memory = "100M";
  EXPECT_EQ(refusal(o, 64),
            "shootdown: memory 100M is not a multiple of the memory block of 128M with 4K pages\n");
  o = small();
  o.memory = "1X";
  EXPECT_EQ(refusal(o, 64), "shootdown: --memory 1X: expected a size such as 480G, 4T or 128M\n");
  o = small();
  o.va_bits = "39";
  o.memory = "480G";
  EXPECT_EQ(refusal(o, 64),
            "shootdown: memory 480G does not fit beside boot memory into a linear map of 256G (4K pages, "
            "39-bit VA)\n");
  o = small();
  o.cpus = "0";
  EXPECT_EQ(refusal(o, 64), "shootdown: 0 CPUs: expected 1 to 4096\n");
  o = small();
  o.mapping = "huge";
  EXPECT_EQ(refusal(o, 64),
            "shootdown: unknown mapping 'huge' (there are: pages, contpte, blocks, contpmd)\n");
  o = small();
  o.load = "compte";
  EXPECT_EQ(refusal(o, 64),
            "shootdown: unknown load 'compte'; did you mean 'compute'? (there are: idle, compute, syscalls, "
            "memory, mprotect)\n");
  o = small();
  o.erratum = "maybe";
  EXPECT_EQ(refusal(o, 64), "shootdown: --erratum is on or off, not 'maybe'\n");
  o = small();
  o.sweeps = {"speed=1..2"};
  EXPECT_EQ(refusal(o, 64), "shootdown: --sweep speed=1..2: expected cpus=FROM..TO or memory=FROM..TO\n");
  o = small();
  o.scenario = "munmap";
  EXPECT_EQ(refusal(o, 64), "shootdown: unknown scenario 'munmap' (there are: hot-remove)\n");
  o = small();
  o.plot = "x.svg";
  EXPECT_EQ(refusal(o, 64), "shootdown: --plot needs a --sweep to plot\n");
}

TEST(TimeCommandNegative, Profiles) {
  TimeOptions o = small();
  o.profile = "nothing";
  EXPECT_EQ(refusal(o, 64),
            "shootdown: --profile: no profile 'nothing'; there are arm64-server, bbml2-192, "
            "neoverse-n1-2x80, neoverse-v2-72, small-8\n");
  o.profile = "/nonexistent.toml";
  EXPECT_EQ(refusal(o, 66), "shootdown: /nonexistent.toml: cannot be read\n");
  const std::string path = testing::TempDir() + "/shootdown-bad.toml";
  std::ofstream(path) << "base = \"small-8\"\n[barrier]\nisb = { value = -1, unit = \"ns\" }\n";
  o.profile = path;
  EXPECT_EQ(refusal(o, 65),
            "shootdown: " + path + ":3: barrier.isb = -1 ns is out of range; expected 0 ns to 1 us\n");
  std::filesystem::remove(path);
}

TEST(TimeCommandNegative, MoreMemoryThanTheHostHas) {
  TimeOptions o = small();
  o.memory = "120T";
  EXPECT_NE(refusal(o, 69).find("of memory need"), std::string::npos);
}

TEST(TimeCommandNegative, AFileThatCannotBeWritten) {
  TimeOptions o = small();
  o.output = "/nonexistent/lines.ndjson";
  EXPECT_EQ(refusal(o, 66), "shootdown: /nonexistent/lines.ndjson: cannot be written\n");
  o.output = testing::TempDir();
  EXPECT_EQ(refusal(o, 66), "shootdown: " + o.output + ": cannot be written\n");
}

TEST(TimeCommandNegative, AFullDisk) {
  TimeOptions o = small();
  o.output = "/dev/full";
  EXPECT_EQ(refusal(o, 66), "shootdown: /dev/full: cannot be written\n");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));  // and is what it was
  o.sweeps = {"cpus=1..4"};
  EXPECT_EQ(refusal(o, 66), "shootdown: /dev/full: cannot be written\n");
}

TEST(TimeCommandNegative, SizesThatNoMachineHas) {
  for (const char* memory : {"0", "1", "1048576T", "129M", "480.1G"}) {
    TimeOptions o = small();
    o.memory = memory;
    EXPECT_NE(refusal(o, 64).find("shootdown: "), std::string::npos) << memory;
  }
  for (const char* cpus : {"0", "-1", "4097", "eight", "1..4"}) {
    TimeOptions o = small();
    o.cpus = cpus;
    EXPECT_NE(refusal(o, 64).find("expected"), std::string::npos) << cpus;
  }
}

class Sweep : public testing::Test {
 protected:
  Sweep() : path_(testing::TempDir() + "/shootdown-sweep.ndjson") { std::filesystem::remove(path_); }
  ~Sweep() override { std::filesystem::remove(path_); }
  TimeOptions options() const {
    TimeOptions o = small();
    o.strategies = {"P", "B"};
    o.sweeps = {"cpus=1..8", "memory=128M..512M"};
    o.output = path_;
    return o;
  }
  std::string path_;
};

TEST_F(Sweep, HasAllPointsInOrder) {
  const Outcome outcome = run(options());
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto lines = stable_lines(outcome.out);
  ASSERT_EQ(lines.size(), 4u * 3 * 2);
  EXPECT_EQ(outcome.out, contents(path_));
  EXPECT_EQ(lines[0]["strategy"], "P");
  EXPECT_EQ(lines[0]["cpus"], 1);
  EXPECT_EQ(lines[4]["strategy"], "B");
  EXPECT_EQ(lines.back()["memory_bytes"], 512u << 20);
}

TEST_F(Sweep, GoesOnWhereItWasCutOff) {
  const std::string whole = run(options()).out;
  for (std::size_t cut :
       {std::size_t{0}, whole.size() / 3, whole.size() / 2, whole.size() - 1, whole.size()}) {
    std::ofstream(path_, std::ios::trunc) << whole.substr(0, cut);
    const Outcome again = run(options());
    ASSERT_EQ(again.code, 0) << again.err;
    EXPECT_EQ(stable_lines(again.out), stable_lines(whole)) << cut;
    EXPECT_EQ(again.out, contents(path_));
  }
}

TEST_F(Sweep, DoesNotTouchTheResultsOfAnother) {
  std::ofstream(path_) << "{\"command\":\"time\",\"scenario\":\"else\"}\n";
  EXPECT_EQ(refusal(options(), 65), "shootdown: " + path_ +
                                        ":1: not a result of this sweep; give another -o, or remove "
                                        "the file to begin again\n");
  EXPECT_EQ(contents(path_), "{\"command\":\"time\",\"scenario\":\"else\"}\n");
}

TEST_F(Sweep, AnotherProfileOrSeedIsAnotherSweep) {
  ASSERT_EQ(run(options()).code, 0);
  TimeOptions other = options();
  other.seed = 2;
  EXPECT_EQ(run(other).code, 65);
  other = options();
  other.load = "memory";
  EXPECT_EQ(run(other).code, 65);
}

TEST_F(Sweep, PlotsBothAxes) {
  std::vector<ordered_json> lines;
  std::istringstream in(run(options()).out);
  for (std::string line; std::getline(in, line);) lines.push_back(ordered_json::parse(line));
  const std::string program = report::plot_program("it's.svg", lines);
  EXPECT_NE(program.find("set output 'it''s.svg'"), std::string::npos);
  EXPECT_NE(program.find("CPUs"), std::string::npos);
}

TEST(Steps, AreDoubledAddedOrListed) {
  using Steps = std::vector<std::uint64_t>;
  EXPECT_EQ(*parse_steps("1..8"), (Steps{1, 2, 4, 8}));
  EXPECT_EQ(*parse_steps("1..6"), (Steps{1, 2, 4, 6}));
  EXPECT_EQ(*parse_steps("8..20+6"), (Steps{8, 14, 20}));
  EXPECT_EQ(*parse_steps("1,8,72"), (Steps{1, 8, 72}));
  EXPECT_EQ(*parse_steps("1G..2G"), (Steps{1u << 30, 2ull << 30}));
  EXPECT_EQ(*parse_steps("5..5"), (Steps{5}));
  for (const char* bad : {"", "8..1", "0..4", "1..8+0", "a..b", "1..", "1,,2", "1..1000000+1", "-1"})
    EXPECT_FALSE(parse_steps(bad)) << bad;
}

TEST(Sizes, AreBinary) {
  EXPECT_EQ(*parse_size("480G"), 480ull << 30);
  EXPECT_EQ(*parse_size("1.5T"), 3ull << 39);
  EXPECT_EQ(*parse_size("128MiB"), 128ull << 20);
  EXPECT_EQ(*parse_size("4096"), 4096u);
  for (const char* bad : {"", "G", "1GG", "-1G", "1e3", "nan", "inf", "99999999999T"})
    EXPECT_FALSE(parse_size(bad)) << bad;
}

}  // namespace
}  // namespace shootdown::cli
