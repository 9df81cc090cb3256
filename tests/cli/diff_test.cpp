// SPDX-License-Identifier: MIT
// Strategy: the `diff` command on files: its exit codes, its two formats, and what it refuses.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "tests/cli/program.hpp"

namespace shootdown::tests {
namespace {

class Diff : public testing::Test {
 protected:
  Diff() {
    std::filesystem::create_directories(folder_);
    write("sound.json",
          R"({"command":"audit","kernel":"k","workload":"w","counts":{"isb":1},"violations":[]})");
    write("broken.json", R"({"command":"audit","kernel":"k","workload":"w","counts":{"isb":1},"violations":)"
                         R"([{"title":"stale-page in f","cause":"no-tlbi","harm":"stale-page","count":1}]})");
    write("other.txt", "not an audit\n");
  }
  ~Diff() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text << '\n';
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  Finished diff(const std::string& a, const std::string& b, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"diff", path(a), path(b)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }

 private:
  std::string folder_ = testing::TempDir() + "/shootdown-diff";
};

TEST_F(Diff, ExitCodes) {
  EXPECT_EQ(diff("sound.json", "sound.json").exit_code, 0);
  EXPECT_EQ(diff("broken.json", "broken.json").exit_code, 0);
  EXPECT_EQ(diff("sound.json", "broken.json").exit_code, 1);
  EXPECT_EQ(diff("broken.json", "sound.json").exit_code, 1);
}

TEST_F(Diff, Json) {
  const Finished f = diff("sound.json", "broken.json", {"--format", "json"});
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_EQ(f.lines().size(), 1u);
  EXPECT_EQ(nlohmann::json::parse(f.out)["one_sided"], true);
}

TEST_F(Diff, Refusals) {
  EXPECT_EQ(diff("sound.json", "none.json").exit_code, 66);
  EXPECT_EQ(diff("sound.json", "other.txt").exit_code, 65);
  const Finished f = diff("sound.json", "sound.json", {"--format", "xml"});
  EXPECT_EQ(f.exit_code, 64);
  EXPECT_EQ(f.err, "shootdown: unknown format 'xml' (there are: text, json)\n");
}

}  // namespace
}  // namespace shootdown::tests
