// SPDX-License-Identifier: MIT
// Hot-remove on real instructions: one machine booted for a list of strategies, and the judgement of what the
// guest saw against what arithmetic predicts. Running QEMU is machine/metal; writing results is report/boot.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "machine/metal/qemu.hpp"
#include "mm/strategy.hpp"
#include "report/boot.hpp"
#include "scenario/expected_counts.hpp"

namespace shootdown::scenario {

/// One machine and what is to happen on it.
struct BootCase {
  vmsa::Regime regime = vmsa::regime(12, 48);
  vmsa::LayoutAge layout = vmsa::LayoutAge::today;
  std::string mapping = "pages";
  bool vmemmap_pages = false;  ///< base pages although blocks would do
  std::string table_rule = "floor-ceiling";
  std::uint64_t memory_bytes = std::uint64_t{1} << 30;
  unsigned cpus = 4;
  bool use_range_tlbi = true;  ///< where the CPU has it
  bool repeat_tlbi = false;    ///< the erratum's workaround
  bool neighbours = true;      ///< boot memory and a vmalloc page are mapped beside the range
  std::vector<std::string> strategies{"B"};
};

/// How to run it.
struct BootMachine {
  std::string qemu = "qemu-system-aarch64";
  std::string image;
  std::string cpu = "max";
  std::string accelerator = "tcg,thread=multi";
  std::string plugin;  ///< that counts instructions; may be empty
  std::chrono::milliseconds timeout{300'000};
  std::function<bool()> interrupted;
  std::function<void(const metal::GuestLog&)> on_progress;
};

struct BootOutcome {
  std::vector<report::BootResult> results;  ///< of the strategies that got that far
  metal::RunFailure failure = metal::RunFailure::none;
  std::string message;                  ///< one line; empty without a failure
  std::vector<std::string> last_lines;  ///< of the console
};

/// Boots, and judges what came back. Strategies that share a machine run one after the other on it.
BootOutcome boot(const BootCase& c, const BootMachine& machine);

/// The words that ask the image for this.
std::string bootargs(const BootCase& c);
/// Memory in front of the range: tables, struct pages and the image must fit in.
std::uint64_t boot_memory_bytes(const BootCase& c);
/// What removing must cost on the machine that said `start`.
ExpectedCounts expected(const BootCase& c, const metal::GuestStart& start, const std::string& strategy);
/// Every assertion over one strategy's facts.
report::BootResult judge(const BootCase& c, const metal::GuestStart& start, const metal::GuestResult& seen);

}  // namespace shootdown::scenario
