// SPDX-License-Identifier: MIT
// The `check` command from outside: exit codes, what goes to which stream, and each format's promises. Strategy: the
// cheapest combinations there are, one unsafe (freed-before-flush: some hundred states) and one safe.
#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/cli/program.hpp"

namespace shootdown::tests {
namespace {

using nlohmann::ordered_json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::vector<std::string> unsafe{"check",     "hot-remove", "--strategy", "freed-before-flush",
                                      "--mapping", "pages",      "--extent",   "across"};
const std::vector<std::string> safe{"check",     "hot-remove", "--strategy", "P",
                                    "--mapping", "blocks",     "--extent",   "across"};

std::vector<std::string> with(std::vector<std::string> arguments, const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// The word after `--replay ` in a text.
std::string token_in(const std::string& text) {
  const std::size_t at = text.find("--replay ") + 9;
  return text.substr(at, text.find_first_of(" \n", at) - at);
}

TEST(Check, SafeIsZeroAndUnsafeIsOne) {
  const Finished holds = run(safe);
  EXPECT_EQ(holds.exit_code, 0);
  EXPECT_EQ(holds.err, "");
  EXPECT_THAT(holds.out, HasSubstr("1 safe, 0 unsafe"));
  const Finished violated = run(unsafe);
  EXPECT_EQ(violated.exit_code, 1);
  EXPECT_EQ(violated.err, "");
  EXPECT_THAT(violated.out, HasSubstr("BUG: Shootdown: stale-table in free_hotplug_table"));
  EXPECT_THAT(violated.out, HasSubstr("its hardware writes an access flag into page"));
}

TEST(Check, TextHasNoColourWhereThereIsNoTerminal) { EXPECT_THAT(run(unsafe).out, Not(HasSubstr("\x1b"))); }

TEST(Check, JsonHasTheKeysInTheirOrder) {
  const Finished f = run(with(unsafe, {"--format", "json"}));
  ASSERT_EQ(f.lines().size(), 1u);
  const ordered_json j = ordered_json::parse(f.out);
  std::vector<std::string> keys;
  for (const auto& [key, value] : j.items()) keys.push_back(key);
  EXPECT_THAT(keys,
              ElementsAre("command", "scenario", "strategy", "granule", "va_bits", "cpus", "path", "mapping",
                          "vmemmap", "extent", "memmap_on_memory", "layout", "table_rule", "features",
                          "geometry", "world", "bounds", "verdict", "harm", "cause", "tables_retained",
                          "states", "transitions", "seconds", "audit_seconds", "rules", "replay"));
  EXPECT_EQ(j["verdict"], "unsafe");
  EXPECT_EQ(j["harm"], "stale-table");
  EXPECT_EQ(j["cause"], "freed-early");
  EXPECT_TRUE(j["vmemmap"].is_null());
  EXPECT_TRUE(j["tables_retained"].is_null());
  EXPECT_EQ(j["geometry"]["scaled"], true);
}

TEST(Check, ACellIsAllThatItsMappingHas) {
  const Finished f = run(
      {"check", "hot-remove", "--strategy", "B", "--mapping", "pages,contpte,blocks", "--format", "json"});
  std::vector<std::string> order;
  for (const std::string& line : f.lines()) {
    const ordered_json j = ordered_json::parse(line);
    order.push_back(j["mapping"].get<std::string>() + " " + j["extent"].get<std::string>());
  }
  EXPECT_THAT(order, ElementsAre("pages across", "pages inside", "contpte across", "blocks across",
                                 "blocks inside", "blocks long"));
}

TEST(Check, AWrongExtentIsRefusedInWords) {
  const Finished f =
      run({"check", "hot-remove", "--strategy", "B", "--mapping", "pages", "--extent", "long"});
  EXPECT_EQ(f.exit_code, 64);
  EXPECT_THAT(f.err, HasSubstr("a long range is one of level 1 blocks"));
}

/// The worst of its extents: freed-before-flush frees nothing inside of a table, and is not safe for that.
TEST(Check, ACellIsAsGoodAsItsWorstExtent) {
  const Finished f = run({"check", "hot-remove", "--strategy", "freed-before-flush", "--mapping", "pages"});
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_THAT(f.out, HasSubstr("1 safe, 1 unsafe"));
  EXPECT_THAT(f.out, HasSubstr("  freed-before-flush  stale-table"));
  EXPECT_THAT(f.out, HasSubstr("BUG: Shootdown: stale-table in free_hotplug_table"))
      << "one cell: it is shown";
}

TEST(Check, VerboseSaysWhatTheWorldHolds) {
  const Finished f = run({"check", "hot-remove", "--strategy", "B", "--mapping", "contpte,blocks", "-v"});
  EXPECT_THAT(f.out, HasSubstr("6 pages in 3 sections; leaves: 6 of level 3 (4 in groups of 4); tables: "
                               "1 whole, 2 in part, 0 shared"));
  EXPECT_THAT(f.out, HasSubstr("leaves: 1 of level 1, 2 of level 2"));
  EXPECT_THAT(f.out, HasSubstr("range TLBI of up to 2097152 pages (SCALE 3, NUM 31)"));
}

TEST(Check, JsonOfASafeOne) {
  const ordered_json j = ordered_json::parse(run(with(safe, {"--format", "json"})).out);
  EXPECT_EQ(j["verdict"], "safe");
  EXPECT_TRUE(j["harm"].is_null());
  EXPECT_TRUE(j["replay"].is_null());
  EXPECT_TRUE(j["bounds"]["hit"].is_null());
  EXPECT_EQ(j["tables_retained"], 0);
}

TEST(Check, LinesComeInTheOrderOfTheMatrix) {
  const Finished f =
      run({"check", "hot-remove", "--strategy", "R0,freed-before-flush", "--mapping", "pages,contpte",
           "--extent", "across", "--granule", "4k,64k", "--format", "json", "-j", "4"});
  std::vector<std::string> order;
  for (const std::string& line : f.lines()) {
    const ordered_json j = ordered_json::parse(line);
    order.push_back(j["granule"].get<std::string>() + " " + j["strategy"].get<std::string>() + " " +
                    j["mapping"].get<std::string>());
  }
  EXPECT_THAT(order, ElementsAre("4k R0 pages", "4k R0 contpte", "4k freed-before-flush pages",
                                 "4k freed-before-flush contpte", "64k R0 pages", "64k R0 contpte",
                                 "64k freed-before-flush pages", "64k freed-before-flush contpte"));
}

TEST(Check, KtapIsValid) {
  const Finished f = run({"check", "hot-remove", "--strategy", "freed-before-flush,P", "--mapping", "blocks",
                          "--extent", "across", "--format", "ktap"});
  EXPECT_EQ(f.exit_code, 1);
  const auto lines = f.lines();
  ASSERT_GE(lines.size(), 4u);
  EXPECT_EQ(lines[0], "KTAP version 1");
  EXPECT_EQ(lines[1], "1..2");
  unsigned number = 0;
  std::vector<std::string> tests;
  for (std::size_t i = 2; i < lines.size(); ++i) {
    if (lines[i].starts_with("# ")) continue;
    const bool ok = lines[i].starts_with("ok ");
    EXPECT_TRUE(ok || lines[i].starts_with("not ok ")) << lines[i];
    EXPECT_THAT(lines[i].substr(ok ? 3 : 7), StartsWith(std::to_string(++number) + " hot-remove."));
    tests.push_back(ok ? "ok" : "not ok");
  }
  EXPECT_THAT(tests, ElementsAre("not ok", "ok"));
}

TEST(Check, ATokenTellsTheSameStoryAgain) {
  const Finished found = run(unsafe);
  const std::string token = token_in(found.out);
  const Finished first = run({"check", "--replay", token});
  const Finished second = run({"check", "--replay", token});
  EXPECT_EQ(first.exit_code, 1);
  EXPECT_EQ(first.out, second.out);
  EXPECT_NE(first.out, "");
  EXPECT_THAT(found.out, HasSubstr(first.out));
  const ordered_json j = ordered_json::parse(run({"check", "--replay", token, "--format", "json"}).out);
  EXPECT_EQ(j["verdict"], "unsafe");
  EXPECT_TRUE(j["states"].is_null());
}

TEST(Check, AnIllTokenIsOneLineAnd65) {
  const std::string good = token_in(run(unsafe).out);
  std::string foreign = good;
  foreign[4] = foreign[4] == '0' ? '1' : '0';  // of the build's fingerprint
  for (const std::string& token :
       {std::string("abc"), std::string("sd1"), foreign, good.substr(0, good.size() - 1), good.substr(0, 40),
        good + "00", std::string(5000, '9')}) {
    const Finished f = run({"check", "--replay", token});
    EXPECT_EQ(f.exit_code, 65) << token;
    EXPECT_EQ(f.out, "");
    EXPECT_EQ(std::count(f.err.begin(), f.err.end(), '\n'), 1) << f.err;
    EXPECT_THAT(f.err, StartsWith("shootdown: "));
  }
}

TEST(Check, ABoundIsNeverAPass) {
  const Finished f = run({"check", "hot-remove", "--strategy", "L", "--vmemmap", "pages", "--extent",
                          "across", "--max-states", "1000", "--format", "json"});
  EXPECT_EQ(f.exit_code, 4);
  const ordered_json j = ordered_json::parse(f.out);
  EXPECT_EQ(j["verdict"], "bound");
  EXPECT_EQ(j["bounds"]["states"], 1000);
  EXPECT_EQ(j["bounds"]["hit"], "states");
  EXPECT_TRUE(j["tables_retained"].is_null());
}

TEST(Check, AnInterruptKeepsWhatWasFound) {
  Start start{{"check", "hot-remove", "--strategy", "freed-before-flush,B,L,T", "--granule", "all", "--cpus",
               "4", "--format", "json"}};
  start.signal_after_first_line = SIGINT;
  const Finished f = run(start);
  EXPECT_EQ(f.exit_code, 130);
  ASSERT_GE(f.lines().size(), 1u);
  for (const std::string& line : f.lines()) EXPECT_TRUE(ordered_json::accept(line)) << line;
  EXPECT_EQ(ordered_json::parse(f.lines()[0])["verdict"], "unsafe");
}

TEST(Check, AnInterruptedCampaignLeavesOutWhatIsUndecided) {
  Start start{
      {"check", "hot-remove", "--mutants", "--strategy", "B", "--granule", "all", "--format", "json"}};
  start.signal_after_first_line = SIGINT;
  const Finished f = run(start);
  EXPECT_EQ(f.exit_code, 130);
  const std::vector<std::string> lines = f.lines();
  ASSERT_GE(lines.size(), 1u);
  for (const std::string& line : lines) EXPECT_NE(ordered_json::parse(line)["verdict"], "bound") << line;
  EXPECT_THAT(f.err, AllOf(HasSubstr("interrupted: " + std::to_string(lines.size()) + " of "),
                           HasSubstr(" mutants were decided")));
}

}  // namespace
}  // namespace shootdown::tests
