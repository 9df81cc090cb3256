// SPDX-License-Identifier: MIT
#include "tests/cli/matrix.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/program.hpp"

namespace shootdown::tests {
namespace {

using nlohmann::json;

/// How the leaves that a strategy clears were mapped. Leaves larger than a page are blocks.
enum class Leaves { pages, contiguous_pages, blocks, contiguous_blocks };

Leaves leaves_of(const json& line) {
  if (line["path"] == "vmemmap") return line["vmemmap"] == "pages" ? Leaves::pages : Leaves::blocks;
  const std::string mapping = line["mapping"];
  if (mapping == "pages") return Leaves::pages;
  if (mapping == "contpte") return Leaves::contiguous_pages;
  return mapping == "blocks" ? Leaves::blocks : Leaves::contiguous_blocks;
}

/// "safe", or harm and cause.
std::string expected(const json& line) {
  const std::string strategy = line["strategy"];
  const Leaves leaves = leaves_of(line);
  const bool vmemmap = line["path"] == "vmemmap";
  const bool by_pages = leaves == Leaves::pages || leaves == Leaves::contiguous_pages;
  const bool contiguous = leaves == Leaves::contiguous_pages || leaves == Leaves::contiguous_blocks;
  // One by one, a member that is flushed may be filled again through the members still valid.
  const bool one_by_one = strategy == "P" || ((strategy == "R0" || strategy == "R") && !by_pages);
  if (one_by_one && contiguous) return "stale-page contiguous";
  if (strategy == "R0" && by_pages) return "stale-page no-tlbi";
  // One flush a table; but vmemmap's pages are freed before it, one by one.
  if (strategy == "R" && by_pages && vmemmap) return "stale-page freed-early";
  // Beside a neighbour no table is freed; and blocks in the root of two levels have none that could be.
  if (strategy == "freed-before-flush")
    return line["extent"] == "across" && (by_pages || line["geometry"]["levels"] > 2)
               ? "stale-table freed-early"
               : "safe";
  return "safe";
}

std::string verdict(const json& line) {
  if (line["verdict"] != "unsafe") return line["verdict"];
  return line["harm"].get<std::string>() + " " +
         (line["cause"].is_null() ? "-" : line["cause"].get<std::string>());
}

}  // namespace

std::size_t expect_matrix(const std::vector<std::string>& arguments) {
  Start start{{"check", "hot-remove", "--format", "json"}};
  start.arguments.insert(start.arguments.end(), arguments.begin(), arguments.end());
  const Finished finished = run(start);
  const auto lines = finished.lines();
  for (const std::string& text : lines) {
    const json line = json::parse(text);
    EXPECT_EQ(verdict(line), expected(line)) << text;
  }
  return lines.size();
}

}  // namespace shootdown::tests
