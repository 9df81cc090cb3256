// SPDX-License-Identifier: MIT
#include "tests/cli/same_counts.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/cli/program.hpp"

namespace shootdown::tests {
namespace {

using nlohmann::json;

std::vector<json> results(const char* command, const SameRemoval& removal,
                          const std::vector<std::string>& own) {
  std::vector<std::string> arguments{command, "hot-remove", "--strategy", "P,B,L,T", "--format", "json"};
  arguments.insert(arguments.end(), removal.options.begin(), removal.options.end());
  arguments.insert(arguments.end(), own.begin(), own.end());
  const Finished finished = run(arguments);
  EXPECT_EQ(finished.exit_code, 0) << finished.err << finished.out;
  std::vector<json> all;
  for (const std::string& line : finished.lines()) all.push_back(json::parse(line));
  return all;
}

/// "tlbi.VAALE1IS" -> 262152, "sgi" -> 0, "instructions" -> null.
std::map<std::string, json> fields(const json& counts) {
  std::map<std::string, json> all;
  for (const auto& [name, value] : counts.items()) {
    if (!value.is_object()) {
      all[name] = value;
      continue;
    }
    for (const auto& [kind, n] : value.items()) all[name + "." + kind] = n;
  }
  return all;
}

void expect_same_question(const json& boot, const json& time) {
  for (const char* question :
       {"scenario", "strategy", "granule", "va_bits", "cpus", "memory_bytes", "mapping", "vmemmap"})
    EXPECT_EQ(boot.at(question), time.at(question)) << question;
}

std::string shown(const std::map<std::string, json>& all, const std::string& name) {
  const auto found = all.find(name);
  return found == all.end() ? "none" : found->second.dump();
}

}  // namespace

std::vector<std::string> differences(const json& boot, const json& time) {
  const auto booted = fields(boot);
  const auto timed = fields(time);
  std::set<std::string> names;
  for (const auto* side : {&booted, &timed})
    for (const auto& [name, n] : *side) names.insert(name);
  std::vector<std::string> all;
  for (const std::string& name : names) {
    const std::string b = shown(booted, name);
    const std::string t = shown(timed, name);
    if (b == "null" || t == "null")
      all.push_back(name + ": unknown to " + (b != "null" ? "time" : t != "null" ? "boot" : "both"));
    else if (b != t)
      all.push_back(name + ": boot " + b + ", time " + t);
  }
  return all;
}

/// What may differ: `time` executes no instructions, and `boot` counts them where QEMU takes the plugin.
static std::vector<std::string> instructions_alone(const json& boot) {
  const bool counted = !boot.at("counts").at("instructions").is_null();
  return {fmt::format("instructions: unknown to {}", counted ? "time" : "both")};
}

void expect_same_counts(const SameRemoval& removal) {
  const std::vector<json> boot = results("boot", removal, removal.boot_only);
  std::vector<std::string> own{"--samples", "0"};
  own.insert(own.end(), removal.time_only.begin(), removal.time_only.end());
  const std::vector<json> time = results("time", removal, own);
  ASSERT_EQ(boot.size(), 4u);
  ASSERT_EQ(time.size(), 4u);
  for (std::size_t i = 0; i < boot.size(); ++i) {
    expect_same_question(boot[i], time[i]);
    EXPECT_EQ(differences(boot[i].at("counts"), time[i].at("counts")), instructions_alone(boot[i]))
        << boot[i].dump() << '\n'
        << time[i].dump();
  }
}

}  // namespace shootdown::tests
