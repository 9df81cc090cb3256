// SPDX-License-Identifier: MIT
// The command line of `boot`; what it does is boot.cpp.
#include <memory>

#include "cli/boot.hpp"
#include "cli/command.hpp"

namespace shootdown::cli {

void add_boot(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("boot", "Do it on AArch64 instructions under QEMU, and count");
  auto o = std::make_shared<BootOptions>();
  command->add_option("SCENARIO", o->scenario, "hot-remove (default)");
  command->add_option("--strategy", o->strategies, "Names, or all (default)")->delimiter(',');
  command->add_option("--granule", o->granules, "4k (default), 16k, 64k, all")->delimiter(',');
  command->add_option("--va-bits", o->va_bits, "A size, or all; default 48, 47, 48 for 4k, 16k, 64k");
  command->add_option("--cpus", o->cpus, "1 to 8; default 4");
  command->add_option("--memory", o->memory, "Memory to add and remove, in whole memory blocks; default 1G");
  command->add_option("--mapping", o->mapping,
                      "Of the linear map: pages (default), contpte, blocks, contpmd");
  command->add_option("--vmemmap", o->vmemmap, "block, pages; default: as Linux would");
  command->add_option("--layout", o->layout, "Address layout: today (default), old (2019)");
  command->add_option("--table-rule", o->table_rule, "Which tables may go: floor-ceiling (default), v7");
  command->add_flag("--no-range-tlbi", o->no_range_tlbi, "As if the CPUs had no FEAT_TLBIRANGE");
  command->add_flag("--repeat-tlbi", o->repeat_tlbi, "With the workaround for the repeat-TLBI erratum");
  command->add_flag("--no-neighbours", o->no_neighbours, "Map nothing else in the kernel half");
  command->add_option("--format", o->format, "text (default), json, ktap");
  command->add_option("--qemu", o->qemu, "The emulator; default qemu-system-aarch64");
  command->add_option("--cpu", o->cpu, "QEMU's CPU model; default max");
  command->add_option("--accel", o->accelerator, "QEMU's accelerator; default tcg,thread=multi");
  command->add_option("--image", o->image, "The EL1 image; default shootdown-metal.img beside this program");
  command->add_option("--timeout", o->timeout, "Seconds until a machine is given up; default 300");
  command->callback([o, &session] {
    o->progress = session.progress;
    o->colour = session.colour;
    session.exit_code = run_boot(*o, session.out, session.err);
  });
}

}  // namespace shootdown::cli
