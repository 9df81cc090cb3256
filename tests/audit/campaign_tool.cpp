// SPDX-License-Identifier: MIT
// campaign KERNEL WORKLOAD MIB FOLDER: the campaign over broken kernels by hand. The table goes to standard output,
// its rows to FOLDER/rows.ndjson, from where an interrupted campaign goes on. Exit code 1: a row is unexplained.
#include <cstdlib>
#include <iostream>

#include "cli/interrupt.hpp"
#include "tests/audit/campaign.hpp"

int main(int argc, char** argv) {
  using namespace shootdown;
  if (argc != 5) {
    std::cerr << "usage: " << argv[0] << " KERNEL WORKLOAD MIB FOLDER\n";
    return static_cast<int>(audit::ExitCode::usage);
  }
  const std::filesystem::path folder = argv[4];
  std::filesystem::create_directories(folder);
  const std::atomic<bool>& stop = cli::stop_on_signals();
  audit::test::Campaign c;
  c.request.kernel = argv[1];
  c.request.workload = argv[2];
  c.request.memory_bytes = std::strtoull(argv[3], nullptr, 10) << 20;
  c.request.programs_dir = SHOOTDOWN_BINARY_DIR;
  c.request.interrupted = [&stop] { return stop.load(); };
  c.folder = folder;
  c.rows = folder / "rows.ndjson";
  c.tell = [](std::string_view line) { std::cerr << line << '\n'; };
  const auto rows = audit::test::run_campaign(c);
  if (!rows) {
    std::cerr << "campaign: " << rows.error().message << '\n' << rows.error().details;
    return static_cast<int>(rows.error().code);
  }
  audit::test::write_markdown(std::cout, *rows);
  return std::ranges::any_of(*rows, [](const auto& r) { return r.result == "unexplained"; }) ? 1 : 0;
}
