// SPDX-License-Identifier: MIT
// The explorer against the hand-written table installers: lock, allocation order, zeroing, link, invalidation.
#include <gtest/gtest.h>

#include "tests/reference/install_case.hpp"
#include "tests/reference/install_machine.hpp"
#include "tests/reference/same_system.hpp"

namespace shootdown::reference {
namespace {

TEST(Install, TwoCpusRaceForOneTableAndInstallTheirOwn) {
  const InstallMachine reference({.cpus = 2, .shared_first = true});
  expect_same_system(count(reference), set_up(InstallSetup{.cpus = 2, .shared_first = true}));
}

TEST(Install, ThreeCpusEachWithATableOfItsOwn) {
  const InstallMachine reference({.cpus = 3, .shared_first = false});
  expect_same_system(count(reference), set_up(InstallSetup{.cpus = 3, .shared_first = false}));
}

}  // namespace
}  // namespace shootdown::reference
