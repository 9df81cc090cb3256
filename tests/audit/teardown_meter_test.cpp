// SPDX-License-Identifier: MIT
// Strategy: the counters of two CPUs by hand; what is between the places and the thread's own is counted, exceptions
// of any depth, other threads and other CPUs are not.
#include "audit/plugin/teardown_meter.hpp"

#include <gtest/gtest.h>

namespace shootdown::audit::plugin {
namespace {

TEST(TeardownMeter, CountsBetweenTheTwoPlaces) {
  TeardownMeter m;
  EXPECT_FALSE(m.is_active());
  m.begin(0, 100);
  EXPECT_EQ(m.end(0, 150), 50u);
  EXPECT_FALSE(m.is_active());
  m.begin(1, 7);
  EXPECT_EQ(m.end(1, 8), 1u) << "a second time";
}

TEST(TeardownMeter, LeavesOutExceptionsThatNest) {
  TeardownMeter m;
  m.begin(0, 100);
  m.pause(0, 110), m.pause(0, 120), m.resume(0, 130), m.resume(0, 140);
  m.pause(1, 5), m.resume(1, 6);  // another CPU's
  EXPECT_EQ(m.end(0, 150), 20u);
}

TEST(TeardownMeter, FollowsTheThreadToAnotherCpu) {
  TeardownMeter m;
  m.begin(0, 100);
  m.stop(0, 110);
  m.pause(0, 120), m.resume(0, 130);  // of whoever runs there now
  m.start(1, 1000);
  EXPECT_EQ(m.end(1, 1005), 15u);
}

TEST(TeardownMeter, StaysPausedWhereItWasSwitchedAwayInAnException) {
  TeardownMeter m;
  m.begin(0, 100);
  m.pause(0, 110);
  m.stop(0, 120), m.start(1, 1000);
  m.resume(1, 1010);
  EXPECT_EQ(m.end(1, 1030), 30u);
}

}  // namespace
}  // namespace shootdown::audit::plugin
