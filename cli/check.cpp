// SPDX-License-Identifier: MIT
// The `check` command: every schedule of every selected combination, all cores, output in the order of the plan.
#include <thread>

#include <fmt/format.h>

#include "cli/check_campaign.hpp"
#include "cli/check_options.hpp"
#include "cli/check_run.hpp"
#include "cli/in_order.hpp"
#include "cli/interrupt.hpp"
#include "cli/progress.hpp"
#include "cli/suggest.hpp"
#include "report/check/describe.hpp"

namespace shootdown::cli {
namespace {

using report::CheckPlan;
using scenario::CheckResult;
using scenario::Verdict;

const char* scenario_of(const scenario::HotRemoveConfig& c) {
  return c.experiment == scenario::Experiment::hot_add ? "hot-add" : "hot-remove";
}

std::unique_ptr<report::CheckWriter> make_writer(const std::string& format, std::ostream& out) {
  if (format == "json") return report::make_json_writer(out);
  if (format == "ktap") return report::make_ktap_writer(out);
  return report::make_text_writer(out);
}

void replay(const CheckOptions& o, Session& session) {
  if (o.mutants)
    return session.fail(
        {exit_code::usage, "--replay shows one counterexample: --mutants does not go with it"});
  auto result = scenario::replay(o.replay);
  if (!result) return session.fail({exit_code::bad_input, result.error()});
  const std::string scenario = scenario_of(result->config);
  if (!o.scenario.empty() && o.scenario != scenario)
    return session.fail(
        {exit_code::usage, fmt::format("the token is one of {}, not of {}", scenario, o.scenario)});
  CheckPlan plan{.scenario = scenario, .configs = {result->config}};
  plan.replay = true;
  plan.verbose = o.verbose;
  plan.style.colour = session.colour;
  const auto writer = make_writer(o.format, session.out);
  writer->begin(plan);
  writer->result(*result);
  writer->end();
  session.exit_code = exit_code::violation;
}

}  // namespace

void run_check(const CheckOptions& o, Session& session) {
  if (std::find(check_formats.begin(), check_formats.end(), o.format) == check_formats.end())
    return session.fail({exit_code::usage, unknown_name("format", o.format, check_formats)});
  if (!o.replay.empty()) return replay(o, session);
  if (o.scenario.empty())
    return session.fail(
        {exit_code::usage, "check needs a scenario: shootdown check hot-remove (or hot-add)"});
  auto plan = make_check_plan(o);
  if (!plan) return session.fail(plan.error());
  plan->style.colour = session.colour;
  if (o.mutants) return run_campaign(*plan, o, session);
  const auto writer = make_writer(o.format, session.out);
  session.exit_code = run_checks(*plan, o.jobs, *writer, session);
}

unsigned worker_count(unsigned jobs) {
  return jobs != 0 ? jobs : std::max(1u, std::thread::hardware_concurrency());
}

int run_checks(const CheckPlan& plan, unsigned jobs, report::CheckWriter& writer, Session& session) {
  const std::atomic<bool>& stop = stop_on_signals();
  Progress progress(session.progress ? &session.err : nullptr, plan.configs.size());
  unsigned unsafe = 0, bound = 0;
  writer.begin(plan);
  auto work = [&](std::size_t job) {
    const auto& config = plan.configs[job];
    CheckResult result{.config = config, .verdict = Verdict::bound};
    result.search.ending = explore::Ending::interrupted;
    if (stop) return result;
    explore::SearchOptions options{.bounds = plan.bounds};
    options.stop = &stop;
    options.progress = [&, job](const explore::Progress& p) { progress.report(job, p); };
    progress.started(job, fmt::format("{} {} {}", config.strategy.name, report::granule_name(config.real),
                                      report::column_name(config)));
    result = scenario::check(config, options);
    progress.finished(job, result.search.states);
    return result;
  };
  in_order<CheckResult>(plan.configs.size(), worker_count(jobs), work, [&](std::size_t, CheckResult r) {
    if (r.verdict == Verdict::unsafe) ++unsafe;
    if (r.verdict == Verdict::bound) ++bound;
    progress.clear();
    writer.result(r);
  });
  writer.end();
  if (stop) return exit_code::interrupted;
  return unsafe > 0 ? exit_code::violation : bound > 0 ? exit_code::bound : exit_code::holds;
}

}  // namespace shootdown::cli
