// SPDX-License-Identifier: MIT
#include "tests/cli/campaign.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/program.hpp"

namespace shootdown::tests {

std::set<std::string> expect_no_survivor(const std::vector<std::string>& arguments) {
  Start start{{"check", "hot-remove", "--mutants", "--format", "json"}};
  start.arguments.insert(start.arguments.end(), arguments.begin(), arguments.end());
  const Finished finished = run(start);
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  std::set<std::string> refuted;
  for (const std::string& text : finished.lines()) {
    const auto line = nlohmann::json::parse(text);
    if (line["verdict"] == "refuted")
      refuted.insert(line["mutation"].get<std::string>() + " " +
                     line["site"]["functions"].back().get<std::string>());
    else
      EXPECT_TRUE(line["verdict"] == "redundant" && line["reason"].is_string()) << text;
  }
  return refuted;
}

}  // namespace shootdown::tests
