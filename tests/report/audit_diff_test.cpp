// SPDX-License-Identifier: MIT
// Strategy: pairs of small audits that differ in one thing each; what the comparison must say about it, in words and in
// JSON, and whether it is a violation that only one side has.
#include "report/audit_diff.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace shootdown::report {
namespace {

using nlohmann::ordered_json;

ordered_json audit(const std::string& function = "unmap_hotplug_range") {
  return ordered_json::parse(R"({"command":"audit","kernel":"k","release":"7.2.13","workload":"hot-unplug",
    "granule":"4k","cpu_model":"cortex-a72","cpus":4,"memory_bytes":1073741824,"stopped":null,
    "counts":{"tlbi":{"VAALE1IS":8},"isb":9},"violations":[],
    "call_sites":[{"operation":"VAALE1IS","function":")" +
                             function + R"(","callers":[],"count":8}]})");
}
ordered_json with_violation(const std::string& title, ordered_json json = audit()) {
  json["violations"].push_back(
      {{"harm", "stale-page"}, {"cause", "no-tlbi"}, {"title", title}, {"count", 3}});
  return json;
}
std::string text_of(const ordered_json& a, const ordered_json& b) {
  std::ostringstream out;
  write_audit_diff(out, diff_audits(a, b), a, b);
  return out.str();
}

TEST(AuditDiff, OfTwoEqualAuditsIsNothing) {
  const AuditDiff diff = diff_audits(audit(), audit());
  EXPECT_FALSE(diff.one_sided());
  EXPECT_TRUE(diff.warnings.empty());
  EXPECT_NE(text_of(audit(), audit()).find("No violation in either."), std::string::npos);
}

TEST(AuditDiff, AViolationThatOneSideHas) {
  const ordered_json bad = with_violation("stale-page in f");
  EXPECT_TRUE(diff_audits(audit(), bad).one_sided());
  EXPECT_TRUE(diff_audits(bad, audit()).one_sided());
  EXPECT_FALSE(diff_audits(bad, bad).one_sided());
  EXPECT_NE(text_of(audit(), bad).find("only in B: stale-page in f (no-tlbi), 0 times in A, 3 in B\n"),
            std::string::npos)
      << text_of(audit(), bad);
  EXPECT_NE(text_of(bad, audit()).find("only in A: "), std::string::npos);
}

TEST(AuditDiff, ASuppressedViolationIsAccepted) {
  ordered_json accepted = with_violation("stale-page in f");
  accepted["violations"][0]["suppressed"] = "known";
  EXPECT_FALSE(diff_audits(audit(), accepted).one_sided());
  // Both have it, and only one side's file of suppressions names it: that is no difference of the kernels.
  EXPECT_FALSE(diff_audits(with_violation("stale-page in f"), accepted).one_sided());
}

TEST(AuditDiff, CompilerSuffixesAreNoDifference) {
  const AuditDiff sites =
      diff_audits(audit("free_empty_tables.constprop.0"), audit("free_empty_tables.isra.0"));
  ASSERT_EQ(sites.call_sites.size(), 1u);
  EXPECT_EQ(sites.call_sites[0].name, "VAALE1IS in free_empty_tables");
  EXPECT_EQ(sites.call_sites[0].a, 8u);
  EXPECT_EQ(sites.call_sites[0].b, 8u);
  EXPECT_FALSE(diff_audits(with_violation("stale-page in f.constprop.0"), with_violation("stale-page in f"))
                   .one_sided());
}

TEST(AuditDiff, SourceNames) {
  EXPECT_EQ(source_function("f"), "f");
  EXPECT_EQ(source_function("f.isra.0.constprop.1"), "f");
  EXPECT_EQ(source_function("f.llvm.1234"), "f");
  EXPECT_EQ(source_function("f.cold"), "f");
  EXPECT_EQ(source_function("f.part.0+0x1c"), "f");
  EXPECT_EQ(source_function("f.partial"), "f.partial");
  EXPECT_EQ(source_function(""), "");
}

TEST(AuditDiff, WarnsWhereTheWorkDiffers) {
  ordered_json other = audit();
  other["workload"] = "thp";
  EXPECT_EQ(diff_audits(audit(), other).warnings,
            std::vector<std::string>{"the workloads differ: hot-unplug in A, thp in B"});
  EXPECT_NE(text_of(audit(), other).find("WARNING: the workloads differ: hot-unplug in A, thp in B; "),
            std::string::npos);
  other = audit();
  other["memory_bytes"] = 134217728;
  other["stopped"] = "the guest died";
  EXPECT_EQ(diff_audits(audit(), other).warnings,
            (std::vector<std::string>{"the memory sizes differ: 1073741824 in A, 134217728 in B",
                                      "B is incomplete: the guest died"}));
  other = audit();
  other["release"] = "6.12.94";  // what a comparison is for
  EXPECT_TRUE(diff_audits(audit(), other).warnings.empty());
}

TEST(AuditDiff, Json) {
  ordered_json b = with_violation("stale-page in f");
  b["counts"]["isb"] = 10;
  const ordered_json json = audit_diff_json(diff_audits(audit(), b), audit(), b);
  EXPECT_EQ(json["command"], "diff");
  EXPECT_EQ(json["a"]["release"], "7.2.13");
  EXPECT_EQ(json["one_sided"], true);
  EXPECT_EQ(json["counts"][0], ordered_json::parse(R"({"name":"isb","a":9,"b":10})"));
  EXPECT_EQ(json["call_sites"][0]["name"], "VAALE1IS in unmap_hotplug_range");
  EXPECT_EQ(json["violations"][0]["one_sided"], true);
  EXPECT_EQ(json["violations"][0]["b"], 3);
}

TEST(AuditDiff, ForeignObjectsAreRead) {
  for (const char* text : {"{}", R"({"violations":7,"call_sites":{"a":1},"counts":[1]})",
                           R"({"violations":[1,{}],"call_sites":[[],{"count":"x"}],"cpus":"many"})"})
    EXPECT_FALSE(text_of(ordered_json::parse(text), audit()).empty());
}

}  // namespace
}  // namespace shootdown::report
