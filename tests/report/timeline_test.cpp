// SPDX-License-Identifier: MIT
// The counterexample that every reader of hot-remove should see, as text: a table page freed before its flush, and
// hardware that writes an access flag into its new owner's data. Held against tests/report/golden; run with
// SHOOTDOWN_UPDATE_GOLDEN=1 to write it anew, and look at the difference. Steps and source lines are masked: which
// of several shortest paths is found first is not what is tested.
#include <cstdlib>
#include <fstream>
#include <regex>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/check/timeline.hpp"

namespace shootdown::report {
namespace {

using testing::HasSubstr;

scenario::HotRemoveConfig freed_before_flush() {
  scenario::HotRemoveConfig c;
  c.strategy = mm::strategies.back();
  c.vmemmap = scenario::VmemmapKind::pages;
  return c;
}

std::string masked(const std::string& text) {
  std::string m = std::regex_replace(text, std::regex("( +)[0-9]+(  CPU)"), "$1#$2");
  m = std::regex_replace(m, std::regex("step [0-9]+"), "step #");
  m = std::regex_replace(m, std::regex("Step: [0-9]+"), "Step: #");
  m = std::regex_replace(m, std::regex(" +#  CPU"), "    #  CPU");
  m = std::regex_replace(m, std::regex("\n ([a-z_]+):[0-9]+\n"), "\n $1:#\n");
  return std::regex_replace(m, std::regex("--replay [^ \n]+"), "--replay TOKEN");
}

std::string told(const scenario::CheckResult& r) {
  std::ostringstream out;
  write_counterexample(out, r, {});
  return out.str();
}

TEST(Timeline, FreedBeforeFlush) {
  const scenario::CheckResult r = scenario::check(freed_before_flush(), {});
  ASSERT_TRUE(r.counterexample.has_value());
  const std::string text = masked(told(r));
  const std::string path = SHOOTDOWN_SOURCE_DIR "/tests/report/golden/freed_before_flush.txt";
  if (std::getenv("SHOOTDOWN_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::stringstream golden;
  golden << std::ifstream(path).rdbuf();
  EXPECT_EQ(text, golden.str());
}

TEST(Timeline, TheSameTokenTellsTheSame) {
  const scenario::CheckResult r = scenario::check(freed_before_flush(), {});
  const auto again = scenario::replay(r.replay);
  ASSERT_TRUE(again.has_value()) << again.error();
  EXPECT_EQ(told(r), told(*again));
}

TEST(Timeline, SaysWhatIsHeldAndSinceWhen) {
  const scenario::CheckResult r = scenario::check(freed_before_flush(), {});
  const Story story = tell(r);
  ASSERT_FALSE(story.held.empty());
  bool culprit = false;
  for (const Held& h : story.held) {
    EXPECT_GE(h.since, 1u);
    EXPECT_LE(h.since, story.step);
    culprit |= h.entry.same_value(r.counterexample->violation.finding.entry);
  }
  EXPECT_TRUE(culprit);
  ASSERT_TRUE(story.released.has_value());
  EXPECT_EQ(story.released->function, "free_hotplug_table");
  ASSERT_TRUE(story.taken.has_value());
  EXPECT_GT(story.taken->step, story.step);
}

TEST(Timeline, LongStoriesLeaveOtherEntriesOut) {
  scenario::HotRemoveConfig c;
  c.mapping = mm::mappings[1];  // P over contiguous groups
  c.vmemmap = scenario::VmemmapKind::pages;
  const scenario::CheckResult r = scenario::check(c, {});
  ASSERT_TRUE(r.counterexample.has_value());
  EXPECT_EQ(r.counterexample->cause, shadow::Cause::contiguous);
  const Story story = tell(r);
  std::ostringstream brief, all;
  write_timeline(brief, story, {});
  write_timeline(all, story, {.style = {}, .all = true});
  EXPECT_LT(brief.str().size(), all.str().size());
  EXPECT_THAT(brief.str(), HasSubstr("operations on other entries"));
  EXPECT_THAT(brief.str(), HasSubstr("a member of the contiguous group is still valid"));
}

}  // namespace
}  // namespace shootdown::report
