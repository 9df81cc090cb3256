// SPDX-License-Identifier: MIT
// A check as JSON, to the letter: results made by hand, so that nothing but the writing is tested.
#include <sstream>

#include <gtest/gtest.h>

#include "report/check/check_json.hpp"

namespace shootdown::report {
namespace {

using scenario::CheckResult;
using scenario::Verdict;

CheckPlan plan_of(const CheckResult& r) {
  CheckPlan plan{.scenario = "hot-remove", .configs = {r.config}};
  plan.bounds = {.states = 1000, .bytes = 1 << 30};
  return plan;
}

CheckResult safe_linear() {
  CheckResult r;
  r.config.vmemmap = scenario::VmemmapKind::pages;
  r.tables_retained = 0;
  r.search.states = 1234;
  r.search.transitions = 5678;
  r.search.seconds = 0.5;
  return r;
}

TEST(CheckJson, Safe) {
  const CheckResult r = safe_linear();
  EXPECT_EQ(
      check_json(r, plan_of(r)).dump(),
      R"({"command":"check","scenario":"hot-remove","strategy":"P","granule":"4k","va_bits":48,"cpus":3,)"
      R"("path":"linear","mapping":"pages","vmemmap":null,"extent":"across",)"
      R"("memmap_on_memory":false,"layout":"today","table_rule":"floor-ceiling",)"
      R"("features":["tlbirange","hafdbs"],"geometry":{"scaled":true,"levels":4,"entries_per_table":4,)"
      R"("root_entries":4,"contpte":4,"contpmd":4,"section_pages":4,"section_vmemmap_pages":4},)"
      R"("world":{"pages":6,"sections":3,"leaves":{"3":6},"contiguous_groups":0,"group_members":0,)"
      R"("tables_whole":1,"tables_in_part":2,"tables_shared":0,"leftover_words":3,)"
      R"("range_tlbi":{"pages":6,"scale":0,"num":2}},)"
      R"("bounds":{"states":1000,"bytes":1073741824,"hit":null},"verdict":"safe","harm":null,"cause":null,)"
      R"("tables_retained":0,"states":1234,"transitions":5678,"seconds":0.5,"audit_seconds":0.0,)"
      R"("rules":[],"replay":null})");
}

TEST(CheckJson, VmemmapHasNoMapping) {
  CheckResult r = safe_linear();
  r.config.path = scenario::Path::vmemmap;
  const auto j = check_json(r, plan_of(r));
  EXPECT_TRUE(j["mapping"].is_null());
  EXPECT_EQ(j["vmemmap"], "pages");
}

TEST(CheckJson, BoundNamesTheBound) {
  CheckResult r = safe_linear();
  r.verdict = Verdict::bound;
  r.tables_retained.reset();
  r.search.ending = explore::Ending::memory_bound;
  const auto j = check_json(r, plan_of(r));
  EXPECT_EQ(j["verdict"], "bound");
  EXPECT_EQ(j["bounds"]["hit"], "memory");
  EXPECT_TRUE(j["tables_retained"].is_null());
}

TEST(CheckJson, WhatWasNotSearchedHasNoLine) {
  CheckResult r;
  r.verdict = Verdict::bound;
  r.search.ending = explore::Ending::interrupted;
  std::ostringstream out;
  const auto writer = make_json_writer(out);
  writer->begin(plan_of(r));
  writer->result(r);
  writer->end();
  EXPECT_EQ(out.str(), "");
}

TEST(CheckKtap, ABoundIsNoPass) {
  CheckResult r = safe_linear();
  r.verdict = Verdict::bound;
  r.search.ending = explore::Ending::states_bound;
  std::ostringstream out;
  const auto writer = make_ktap_writer(out);
  writer->begin(plan_of(r));
  writer->result(r);
  writer->end();
  EXPECT_EQ(out.str(),
            "KTAP version 1\n1..1\n# states: 1234 transitions: 5678 seconds: 0.50\n# bound: states\n"
            "not ok 1 hot-remove.P.4k_48.linear_pages # TIMEOUT\n");
}

}  // namespace
}  // namespace shootdown::report
