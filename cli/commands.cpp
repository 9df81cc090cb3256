// SPDX-License-Identifier: MIT
// Every command's options, and what it calls. The only file beside main.cpp that knows the parser: what a command does
// is in its own file, over its own struct of options.
#include "cli/commands.hpp"

#include <memory>

#include "cli/audit.hpp"
#include "cli/boot.hpp"
#include "cli/check_options.hpp"
#include "cli/check_run.hpp"
#include "cli/list.hpp"
#include "cli/time.hpp"

namespace shootdown::cli {
namespace {

void add_list(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand(
      "list",
      "What there is: scenarios, strategies, mappings, rules, regimes, features, profiles, "
      "predictions, kernels, workloads");
  auto o = std::make_shared<ListOptions>();
  command->add_option("WHAT", o->what, "One of them; default: all but the last four");
  command->add_option("--profile", o->profile, "With profiles: every figure of this one");
  command->add_option("--format", o->format, "text (default), json");
  command->callback([o, &session] { run_list(*o, session); });
}

void add_check(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("check", "Explore every schedule: safe, or the shortest counterexample");
  auto o = std::make_shared<CheckOptions>();
  command->add_option("SCENARIO", o->scenario, "hot-remove, hot-add");
  command->add_option("--strategy", o->strategies, "Names, or all (default; see: shootdown list strategies)")
      ->delimiter(',');
  command->add_option("--granule", o->granules, "4k (default), 16k, 64k, all")->delimiter(',');
  command->add_option("--va-bits", o->va_bits, "A size, or all; default 48, 47, 48 for 4k, 16k, 64k");
  command->add_option("--cpus", o->cpus, "2 to 4; default 3");
  command->add_option("--path", o->path,
                      "linear, vmemmap, both, all; default: linear and vmemmap, each by itself");
  command
      ->add_option(
          "--extent", o->extents,
          "Of the removed range: across leaf tables, inside one that a neighbour shares, long; default: all")
      ->delimiter(',');
  command->add_option("--mapping", o->mappings, "Of the linear map: pages, contpte, blocks, contpmd, all")
      ->delimiter(',');
  command->add_option("--vmemmap", o->vmemmap, "How vmemmap is mapped: block, pages, all");
  command->add_option("--layout", o->layout, "Address layout: today (default), old (2019)");
  command->add_option("--table-rule", o->table_rule, "Which tables may go: floor-ceiling (default), v7, any");
  command
      ->add_option("--features", o->features,
                   "Of the CPUs; default tlbirange,hafdbs; also repeat-tlbi, bbm1, bbm2, "
                   "bbm2-noabort, none")
      ->delimiter(',');
  command->add_flag("--memmap-on-memory", o->memmap_on_memory,
                    "Struct pages are carved from each memory block itself (4k, both regions by blocks)");
  command->add_option("--geometry", o->geometry, "scaled (default) or full tables");
  command->add_option("--max-states", o->max_states, "Of each search; default 50000000");
  command->add_option("--max-memory", o->max_memory,
                      "Of each search, such as 4G; default: what the machine can spare");
  command->add_option("--replay", o->replay, "Show the counterexample of this token again");
  command->add_flag("--mutants", o->mutants,
                    "Weaken every barrier and flush of the safe strategies, one at a time");
  command->add_option("--format", o->format, "text (default), json, ktap");
  command->add_flag("-v,--verbose", o->verbose,
                    "Every search's size and world, every counterexample with reads");
  command->add_option("-j", o->jobs, "Searches at once; default: one for each core")
      ->check(CLI::Range(1, 256));
  command->callback([o, &session] { run_check(*o, session); });
}

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

void add_time(CLI::App& app, Session& session) {
  auto* command =
      app.add_subcommand("time", "Predict the cost of a scenario on a hardware profile, at scale");
  auto o = std::make_shared<TimeOptions>();
  command->add_option("SCENARIO", o->scenario, "hot-remove (default)");
  command->add_option("--strategy", o->strategies, "Names, or all (default)")->delimiter(',');
  command->add_option("--granule", o->granule, "4k (default), 16k, 64k, all");
  command->add_option("--va-bits", o->va_bits, "A size, or all");
  command->add_option(
      "--from", o->from,
      "Price the call sites of this audit instead (audit -o, or what audit --format json wrote)");
  command->add_option("--cpus", o->cpus, "Default: the profile's");
  command->add_option("--sockets", o->sockets,
                      "That the CPUs are spread over; default: as many as they fill");
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
    session.exit_code = o->from.empty() ? run_time(*o, session.out, session.err)
                                        : run_time_from(*o, session.out, session.err);
  });
}

void add_audit(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand(
      "audit", "Run a real arm64 Linux under QEMU, follow its table maintenance, judge and count it");
  auto o = std::make_shared<AuditOptions>();
  command->add_option(
      "--kernel", o->kernel,
      "An Image file, or debian:VERSION such as debian:6.12.43, debian:7.2-16k (list kernels)");
  command->add_option("--vmlinux", o->vmlinux, "Symbols of a kernel of your own; default: the image's own");
  command->add_option("--system-map", o->system_map, "The same, from a System.map");
  command->add_option("--modules", o->modules,
                      "Where a kernel of your own has its virtio_mem.ko, if it is not built in");
  command->add_option("--workload", o->workload,
                      "One of the kit's (list workloads), or ./FILE: your script or static program");
  command->add_option("--memory", o->memory, "How much memory the workload is about, such as 1G");
  command->add_option("--cpus", o->cpus, "Default: 4");
  command->add_option("--cpu", o->cpu_model,
                      "QEMU's CPU model; default: cortex-a72, neoverse-n1 for 16K pages");
  command->add_option("--timeout", o->timeout_s, "Seconds that the whole guest may take; default: 600");
  command->add_option("-o,--output", o->record, "Keep the trace in this file");
  command->add_option("-i,--input", o->replay, "Judge this trace again instead of running a guest");
  command->add_option("--suppress", o->suppress, "Findings that are accepted, `TITLE: reason` a line");
  command->add_option("--call-sites", o->call_sites, "How many to show; default: 12");
  command->add_option("--format", o->format, "text (default), json");
  command->add_option("--require", o->required,
                      "A function that the run must reach, else its exit code is 3");
  command->add_flag("--no-plugin", o->no_plugin, "Run the guest alone, unwatched: for comparing times");
  command->callback([o, &session] { run_audit(*o, session); });
}

void add_diff(CLI::App& app, Session& session) {
  auto* command =
      app.add_subcommand("diff", "Two audits side by side; 1 if a violation is in only one of them");
  auto o = std::make_shared<DiffOptions>();
  command->add_option("A", o->a, "A trace (audit -o), or what audit --format json wrote")->required();
  command->add_option("B", o->b, "Another")->required();
  command->add_option("--format", o->format, "text (default), json");
  command->callback([o, &session] { run_diff(*o, session); });
}

}  // namespace

void add_commands(CLI::App& app, Session& session) {
  add_list(app, session);
  add_check(app, session);
  add_boot(app, session);
  add_time(app, session);
  add_audit(app, session);
  add_diff(app, session);
}

}  // namespace shootdown::cli
