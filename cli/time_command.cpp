// SPDX-License-Identifier: MIT
// The command line of `time`; what it does is time.cpp.
#include <memory>

#include "cli/command.hpp"
#include "cli/time.hpp"

namespace shootdown::cli {

void add_time(CLI::App& app, Session& session) {
  auto* command =
      app.add_subcommand("time", "Predict the cost of a scenario on a hardware profile, at scale");
  auto o = std::make_shared<TimeOptions>();
  command->add_option("SCENARIO", o->scenario, "hot-remove (default)");
  command->add_option("--strategy", o->strategies, "Names, or all (default)")->delimiter(',');
  command->add_option("--granule", o->granule, "4k (default), 16k, 64k, all");
  command->add_option("--va-bits", o->va_bits, "A size, or all");
  command->add_option("--cpus", o->cpus, "Default: the profile's");
  command->add_option("--memory", o->memory, "Such as 480G (default)");
  command->add_option("--profile", o->profile,
                      "A name or file; more after commas, each laid over those before");
  command->add_option("--load", o->load,
                      "Of the other CPUs: idle, compute (default), syscalls, memory, mprotect");
  command->add_option("--mapping", o->mapping,
                      "pages, contpte, blocks, contpmd; default: what the profile's CPUs get");
  command->add_option("--vmemmap", o->vmemmap, "block, pages");
  command->add_option("--erratum", o->erratum, "The repeat-TLBI erratum: on, off (default)");
  command->add_flag("--blocks-one-by-one", o->blocks_one_by_one, "Memory blocks are removed one by one");
  command->add_option("--seed", o->seed, "Of the samples; default 1");
  command->add_option("--samples", o->samples, "Of the parameters' ranges; default 1000");
  command->add_option("--sweep", o->sweeps, "Such as cpus=1..256 or memory=1G..4T; may be repeated");
  command->add_option("--format", o->format, "text (default), json");
  command->add_option("-o,--output", o->output,
                      "Also write JSON lines to this file; a sweep goes on from what is there");
  command->add_option("--plot", o->plot, "Write a sweep's plot to this SVG file");
  command->add_option("-j", o->jobs, "Host threads; default: one for each core");
  command->callback([o, &session] {
    o->progress = session.progress;
    session.exit_code = run_time(*o, session.out, session.err);
  });
}

}  // namespace shootdown::cli
