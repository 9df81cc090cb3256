// SPDX-License-Identifier: MIT
// `shootdown boot`: a scenario on AArch64 instructions under QEMU. What the user typed, and the work that it means.
#pragma once

#include <ostream>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "cli/refusal.hpp"
#include "scenario/boot.hpp"

namespace shootdown::cli {

/// Empty means "not given". Lists are what was separated by commas.
struct BootOptions {
  std::string scenario = "hot-remove";
  std::vector<std::string> strategies;  ///< default: all
  std::vector<std::string> granules;    ///< 4k, 16k, 64k, all; default: 4k
  std::string va_bits;                  ///< a number, all; default 48, 47, 48 by granule
  std::string cpus;                     ///< 1 to 8; default 4
  std::string memory;                   ///< default 1G
  std::string mapping;                  ///< pages, contpte, blocks, contpmd; default pages
  std::string vmemmap;                  ///< block, pages; default: as Linux would
  std::string layout;                   ///< today, old
  std::string table_rule;               ///< floor-ceiling, v7
  bool no_range_tlbi = false;           ///< as if the CPU had no FEAT_TLBIRANGE
  bool repeat_tlbi = false;             ///< the erratum's workaround on
  bool no_neighbours = false;           ///< nothing else mapped in the kernel half
  std::string format = "text";          ///< text, json, ktap
  std::string qemu = "qemu-system-aarch64";
  std::string image;        ///< default: shootdown-metal.img beside the executable
  std::string cpu = "max";  ///< QEMU's CPU model
  std::string accelerator = "tcg,thread=multi";
  std::string timeout;    ///< seconds for one machine; default 300
  bool progress = false;  ///< standard error is a terminal
  bool colour = false;
};

/// The machines to boot, one a page and VA size, in the order of the output.
tl::expected<std::vector<scenario::BootCase>, Refusal> make_boot_cases(const BootOptions& options);

/// Runs it; returns the exit code. Results go to `out`, errors and progress to `err`. SIGINT and its like end it
/// early; what was found until then is still written.
int run_boot(const BootOptions& options, std::ostream& out, std::ostream& err);

/// The same results for a caller that prints more than them (the main job).
struct BootReport {
  std::vector<report::BootResult> results;
  int exit_code = 0;
};
BootReport boot_all(const std::vector<scenario::BootCase>& cases, const BootOptions& options,
                    std::ostream& err);

}  // namespace shootdown::cli
