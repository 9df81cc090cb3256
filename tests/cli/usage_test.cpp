// SPDX-License-Identifier: MIT
// Command lines that make no sense: one clear line on standard error, nothing on standard output, the right code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/suggest.hpp"
#include "tests/cli/program.hpp"

namespace shootdown::tests {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct Misuse {
  std::vector<std::string> arguments;
  std::string says;
};

const std::vector<Misuse> misuses{
    {{"chekc"}, "did you mean 'check'?"},
    {{"check"}, "needs a scenario"},
    {{"check", "hot-remov"}, "did you mean 'hot-remove'?"},
    {{"check", "hot-remove", "--strategy", "r"}, "did you mean 'R'?"},
    {{"check", "hot-remove", "--strategy", "freed-before-flsh"}, "did you mean 'freed-before-flush'?"},
    {{"check", "hot-remove", "--strategy", "P,P"}, "given twice"},
    {{"check", "hot-remove", "--granule", "8k"}, "unknown granule '8k'"},
    {{"check", "hot-remove", "--va-bits", "47"}, "no such VA size: 47"},
    {{"check", "hot-remove", "--va-bits", "big"}, "a number from 36 to 52"},
    {{"check", "hot-remove", "--cpus", "5"}, "a number from 2 to 4"},
    {{"check", "hot-remove", "--cpus", "1"}, "a number from 2 to 4"},
    {{"check", "hot-remove", "--path", "linaer"}, "did you mean 'linear'?"},
    {{"check", "hot-remove", "--mapping", "contpt"}, "did you mean 'contpte'?"},
    {{"check", "hot-remove", "--granule", "16k", "--vmemmap", "block"}, "4K pages only"},
    {{"check", "hot-remove", "--va-bits", "52", "--layout", "old"}, "old layout"},
    {{"check", "hot-remove", "--path", "linear", "--vmemmap", "pages"}, "--vmemmap says nothing"},
    {{"check", "hot-remove", "--layout", "ancient"}, "unknown layout 'ancient'"},
    {{"check", "hot-remove", "--table-rule", "v8"}, "did you mean 'v7'?"},
    {{"check", "hot-remove", "--features", "tlbirang"}, "did you mean 'tlbirange'?"},
    {{"check", "hot-remove", "--geometry", "tiny"}, "unknown geometry 'tiny'"},
    {{"check", "hot-remove", "--max-states", "0"}, "--max-states '0'"},
    {{"check", "hot-remove", "--max-memory", "4X"}, "--max-memory"},
    {{"check", "hot-remove", "--max-memory", "1K"}, "at least 16M"},
    {{"check", "hot-remove", "--format", "jsno"}, "did you mean 'json'?"},
    {{"check", "hot-remove", "--no-such-option"}, "--help shows"},
    {{"check", "hot-remove", "-j", "0"}, "-j"},
    {{"list", "strategy"}, "did you mean 'strategies'?"},
    {{"list", "rules", "--format", "xml"}, "unknown format 'xml'"},
};

TEST(Usage, OneLineAnd64) {
  for (const Misuse& m : misuses) {
    const Finished f = run(m.arguments);
    EXPECT_EQ(f.exit_code, 64) << f.err;
    EXPECT_EQ(f.out, "") << m.says;
    EXPECT_THAT(f.err, StartsWith("shootdown: "));
    EXPECT_THAT(f.err, HasSubstr(m.says));
    EXPECT_EQ(std::count(f.err.begin(), f.err.end(), '\n'), 1) << f.err;
  }
}

TEST(Usage, HelpAndVersionAreResults) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"--help"}, {"check", "--help"}, {"--version"}}) {
    const Finished f = run(arguments);
    EXPECT_EQ(f.exit_code, 0);
    EXPECT_EQ(f.err, "");
    EXPECT_THAT(f.out, Not(testing::IsEmpty()));
  }
}

TEST(List, NamesWhatOthersTake) {
  const Finished f = run({"list", "strategies"});
  EXPECT_EQ(f.exit_code, 0);
  EXPECT_EQ(f.lines().size(), 7u);
  EXPECT_THAT(f.out, HasSubstr("freed-before-flush"));
  EXPECT_THAT(run({"list", "rules"}).out, HasSubstr("stale-page"));
  EXPECT_THAT(run({"list", "scenarios"}).out, HasSubstr("hot-remove"));
}

TEST(List, JsonIsOneObjectALine) {
  const Finished f = run({"list", "--format", "json"});
  EXPECT_GT(f.lines().size(), 30u);
  for (const std::string& line : f.lines()) {
    const auto j = nlohmann::ordered_json::parse(line);
    EXPECT_EQ(j["command"], "list");
    EXPECT_FALSE(j["name"].get<std::string>().empty());
  }
}

TEST(Suggest, CountsEdits) {
  EXPECT_EQ(cli::edit_distance("", ""), 0u);
  EXPECT_EQ(cli::edit_distance("abc", "abc"), 0u);
  EXPECT_EQ(cli::edit_distance("abc", ""), 3u);
  EXPECT_EQ(cli::edit_distance("chekc", "check"), 1u);
  EXPECT_EQ(cli::edit_distance("kitten", "sitting"), 3u);
}

TEST(Suggest, NothingWhenNothingIsNear) {
  EXPECT_EQ(cli::unknown_name("fruit", "zzz", {"apple", "pear"}),
            "unknown fruit 'zzz' (there are: apple, pear)");
}

}  // namespace
}  // namespace shootdown::tests
