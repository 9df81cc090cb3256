// SPDX-License-Identifier: MIT
// Strategy: the built-in profiles are complete and consistent; each way of getting a profile wrong gives exactly one
// line with file, line and what was expected.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "machine/timed/profile_toml.hpp"

namespace shootdown::timed {
namespace {

std::string error_of(const std::string& text) {
  const auto profile = parse_profile(text, "my.toml");
  return profile ? "accepted" : profile.error().text();
}
std::string with_base(const std::string& text) { return "base = \"neoverse-v2-72\"\n" + text; }

TEST(Profile, TheBuiltInOnesAreThere) {
  std::vector<std::string> names;
  for (const BuiltinProfile& b : builtin_profiles()) {
    const auto profile = load_profile(b.name);
    ASSERT_TRUE(profile) << profile.error().text();
    EXPECT_EQ(profile->name, b.name);
    names.push_back(profile->name);
    for (const ParamInfo& p : param_infos) {
      const Figure& f = (*profile)[p.param];
      EXPECT_LE(f.low, f.value) << p.key;
      EXPECT_LE(f.value, f.high) << p.key;
      EXPECT_FALSE(f.source.empty()) << p.key;
      EXPECT_NE(f.status, Status::user) << p.key;
    }
  }
  EXPECT_EQ(names, (std::vector<std::string>{"arm64-server", "bbml2-192", "neoverse-n1-2x80",
                                             "neoverse-v2-72", "small-8"}));
}

TEST(Profile, TheMachinesAreThoseOfTheirNames) {
  EXPECT_EQ(load_profile("neoverse-n1-2x80")->cpus, 160u);
  EXPECT_EQ(load_profile("neoverse-n1-2x80")->sockets, 2u);
  EXPECT_EQ(load_profile("neoverse-n1-2x80")->sockets_for(80), 1u);
  EXPECT_EQ(load_profile("neoverse-n1-2x80")->sockets_for(81), 2u);
  EXPECT_EQ(load_profile("neoverse-v2-72")->bbm, vmsa::BbmLevel::level0);
  EXPECT_EQ(load_profile("bbml2-192")->bbm, vmsa::BbmLevel::level2_no_abort);
  EXPECT_EQ(load_profile("small-8")->cpus, 8u);
}

TEST(Profile, AnOverrideChangesOneValueAndIsExact) {
  const auto profile =
      parse_profile(with_base("[broadcast]\nbase = { value = 0.7, unit = \"us\" }\n"), "my.toml");
  ASSERT_TRUE(profile) << profile.error().text();
  const Figure& f = (*profile)[Param::broadcast_base];
  EXPECT_EQ(f.value, 700);
  EXPECT_EQ(f.low, 700);
  EXPECT_EQ(f.high, 700);
  EXPECT_EQ(f.status, Status::user);
  EXPECT_EQ((*profile)[Param::isb].value, (*load_profile("neoverse-v2-72"))[Param::isb].value);
  EXPECT_NE(profile->digest(), load_profile("neoverse-v2-72")->digest());
}

TEST(Profile, UnitsAreConverted) {
  for (const char* text :
       {"value = 700, unit = \"ns\"", "value = 0.7, unit = \"us\"", "value = 0.0007, unit = \"ms\""}) {
    const auto profile =
        parse_profile(with_base(std::string("[broadcast]\nbase = { ") + text + " }\n"), "my.toml");
    ASSERT_TRUE(profile) << profile.error().text();
    EXPECT_DOUBLE_EQ((*profile)[Param::broadcast_base].value, 700);
  }
}

TEST(ProfileNegative, UnknownKeys) {
  EXPECT_EQ(
      error_of(with_base("speed = 3\n")),
      "my.toml:2: unknown key 'speed'; expected name, title, base, machine, broadcast, barrier, bystander, "
      "memory, interrupt, kernel");
  EXPECT_EQ(error_of(with_base("[barrier]\ndmb = { value = 1, unit = \"ns\" }\n")),
            "my.toml:3: unknown key 'barrier.dmb'; expected stores, idle, isb, local_flush");
  EXPECT_EQ(error_of(with_base("[barrier]\nisb = { value = 10, unit = \"ns\", note = \"x\" }\n")),
            "my.toml:3: unknown key 'note' in barrier.isb; expected value, unit, range, status, source");
  EXPECT_EQ(error_of(with_base("[machine]\ncores = 4\n")),
            "my.toml:3: unknown key 'machine.cores'; expected cpus, sockets, range_tlbi, bbm, "
            "repeat_tlbi_affected");
}

TEST(ProfileNegative, ValuesOutOfRange) {
  EXPECT_EQ(error_of(with_base("\n[broadcast]\nbase = { value = -0.3, unit = \"us\" }\n")),
            "my.toml:4: broadcast.base = -300 ns is out of range; expected 20 ns to 20 us");
  EXPECT_EQ(error_of(with_base("[broadcast]\nbase = { value = 0.47, unit = \"ms\" }\n")),
            "my.toml:3: broadcast.base = 470 us is out of range; expected 20 ns to 20 us");
  EXPECT_EQ(error_of(with_base("[broadcast]\nbase = { value = nan, unit = \"us\" }\n")),
            "my.toml:3: broadcast.base must be a number; expected 20 ns to 20 us");
  EXPECT_EQ(error_of(with_base("[broadcast]\nbase = { value = \"fast\", unit = \"us\" }\n")),
            "my.toml:3: broadcast.base must be a number; expected 20 ns to 20 us");
  EXPECT_EQ(error_of(with_base("[machine]\ncpus = 0\n")),
            "my.toml:3: machine.cpus must be a whole number, expected 1 to 4096");
  EXPECT_EQ(error_of(with_base("[machine]\ncpus = 2\nsockets = 4\n")),
            "my.toml:2: machine.sockets is larger than machine.cpus");
}

TEST(ProfileNegative, Units) {
  EXPECT_EQ(error_of(with_base("[barrier]\nisb = { value = 10 }\n")),
            "my.toml:3: barrier.isb needs a unit: ns, us, ms or s");
  EXPECT_EQ(error_of(with_base("[barrier]\nisb = { value = 10, unit = \"cycles\" }\n")),
            "my.toml:3: barrier.isb is a time: the unit must be ns, us, ms or s");
  EXPECT_EQ(error_of(with_base("[bystander]\ntlb_entries = { value = 1280, unit = \"ns\" }\n")),
            "my.toml:3: bystander.tlb_entries is a plain number: unit = \"count\" or none");
}

TEST(ProfileNegative, Ranges) {
  EXPECT_EQ(error_of(with_base("[barrier]\nisb = { value = 10, unit = \"ns\", range = [20, 30] }\n")),
            "my.toml:3: barrier.isb: the value 10 ns is not inside its own range 20 ns to 30 ns");
  EXPECT_EQ(error_of(with_base("[barrier]\nisb = { value = 10, unit = \"ns\", range = 5 }\n")),
            "my.toml:3: barrier.isb: range must be [low, high]");
  EXPECT_EQ(error_of(with_base("[barrier]\nisb = { value = 10, unit = \"ns\", range = [5, 5000] }\n")),
            "my.toml:3: barrier.isb = 5 us is out of range; expected 0 ns to 1 us");
}

TEST(ProfileNegative, Shapes) {
  EXPECT_EQ(error_of(with_base("barrier = 3\n")), "my.toml:2: barrier must be a table");
  EXPECT_EQ(error_of(with_base("[barrier]\nisb = 10\n")),
            "my.toml:3: barrier.isb must be a table such as { value = 1, unit = \"ns\" }");
  EXPECT_EQ(error_of(with_base("[barrier]\nisb = { unit = \"ns\" }\n")),
            "my.toml:3: barrier.isb lacks 'value'");
  EXPECT_EQ(error_of(with_base("[barrier]\nisb = { value = 10, unit = \"ns\", status = \"measured\" }\n")),
            "my.toml:3: status must be published, derived, guess or user");
  EXPECT_EQ(error_of(with_base("[machine]\nbbm = 2\n")),
            "my.toml:3: machine.bbm must be level0, level1, level2 or level2_no_abort");
  EXPECT_EQ(error_of("base = \"grace\"\n"),
            "my.toml:1: no profile 'grace'; there are arm64-server, bbml2-192, neoverse-n1-2x80, "
            "neoverse-v2-72, small-8");
  EXPECT_TRUE(error_of("a = [\n").starts_with("my.toml:1: not TOML: ")) << error_of("a = [\n");
}

TEST(ProfileNegative, WhatTheParserAssertsIsRefused) {
  EXPECT_EQ(error_of("[.kernel]\n"),
            "my.toml: not TOML: a key begins with a character that none can begin with");
}

TEST(ProfileNegative, OnlyPlainAsciiReachesTheParser) {
  EXPECT_EQ(error_of("base = \"small-8\"\nn\xd1\xaa = 1\n"),
            "my.toml:2: not plain ASCII; write us for microseconds, and names without accents");
}

TEST(ProfileNegative, AWholeProfileSaysEverything) {
  EXPECT_TRUE(error_of("name = \"mine\"\n").starts_with("my.toml: broadcast.base is missing ("));
  EXPECT_EQ(error_of("[barrier]\nisb = { value = 10, unit = \"ns\" }\n"),
            "my.toml:2: barrier.isb lacks 'range'");
}

TEST(ProfileNegative, Files) {
  const auto missing = load_profile("/nonexistent/p.toml");
  ASSERT_FALSE(missing);
  EXPECT_TRUE(missing.error().missing);
  EXPECT_EQ(missing.error().text(), "/nonexistent/p.toml: cannot be read");
  EXPECT_FALSE(load_profile("neoverse-v9"));
}

TEST(Profile, FilesAreLaidOverEachOther) {
  const std::string path = testing::TempDir() + "/shootdown-override.toml";
  std::ofstream(path) << "[barrier]\nisb = { value = 12, unit = \"ns\", range = [10, 14], status = "
                         "\"derived\", source = \"s\" }\n";
  const auto profile = load_profile("small-8," + path);
  ASSERT_TRUE(profile) << profile.error().text();
  EXPECT_EQ(profile->cpus, 8u);
  EXPECT_EQ(profile->name, "small-8+shootdown-override");
  EXPECT_EQ((*profile)[Param::isb].value, 12);
  EXPECT_EQ((*profile)[Param::isb].status, Status::derived);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace shootdown::timed
