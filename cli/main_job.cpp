// SPDX-License-Identifier: MIT
// `shootdown` without arguments: memory hot-remove with every strategy, on one screen. What the model says, what
// AArch64 instructions do, and one real kernel.
#include "cli/main_job.hpp"

#include <algorithm>

#include "cli/audit.hpp"
#include "cli/boot.hpp"
#include "cli/check_options.hpp"
#include "cli/check_run.hpp"
#include "cli/interrupt.hpp"

namespace shootdown::cli {
namespace {

/// Hands results on and keeps them.
class Keeper final : public report::CheckWriter {
 public:
  explicit Keeper(std::ostream& out) : next_(report::make_summary_writer(out)) {}

  void begin(const report::CheckPlan& plan) override { next_->begin(plan); }
  void result(const scenario::CheckResult& r) override {
    next_->result(r);
    results.push_back(r);
  }
  void end() override { next_->end(); }

  std::vector<scenario::CheckResult> results;

 private:
  std::unique_ptr<report::CheckWriter> next_;
};

/// Does the model call a strategy safe for what was booted: base pages, vmemmap as Linux maps it?
bool called_safe(const std::vector<scenario::CheckResult>& all, const report::BootResult& booted) {
  return std::all_of(all.begin(), all.end(), [&](const scenario::CheckResult& r) {
    const scenario::HotRemoveConfig& c = r.config;
    if (c.strategy.name != booted.strategy || c.real.page_shift != booted.page_shift) return true;
    const bool same = c.path == scenario::Path::linear ? c.mapping.name == booted.mapping
                                                       : name(c.vmemmap) == booted.vmemmap;
    return !same || r.verdict == scenario::Verdict::safe;
  });
}

}  // namespace

/// A strategy that the model refutes is a result, not a failure: the exit code is 1 when a strategy that the model
/// calls safe fails on instructions, or the real kernel violates a rule.
int run_main_job(Session& session) {
  CheckOptions o;
  o.scenario = "hot-remove";
  o.granules = {"all"};
  auto plan = make_check_plan(o);
  if (!plan) {
    session.fail(plan.error());
    return session.exit_code;
  }
  plan->style.colour = session.colour;
  Keeper keeper(session.out);
  const int checked = run_checks(*plan, o.jobs, keeper, session);
  if (checked == exit_code::interrupted) return checked;
  if (checked == exit_code::bound) session.exit_code = checked;

  BootOptions b;
  b.colour = session.colour;
  b.progress = session.progress;
  const auto cases = make_boot_cases(b);
  if (!cases) {
    session.fail(cases.error());
    return session.exit_code;
  }
  session.out << '\n' << plan->style.strong("boot: AArch64 instructions under QEMU\n") << '\n';
  session.out.flush();
  const BootReport booted = boot_all(*cases, b, session.err);
  report::write_boot_text(session.out, booted.results, {session.colour});
  for (const report::BootResult& r : booted.results)
    if (!r.passed() && called_safe(keeper.results, r)) session.exit_code = exit_code::violation;
  if (booted.exit_code > exit_code::bound) session.exit_code = booted.exit_code;
  if (booted.exit_code == exit_code::interrupted) return booted.exit_code;

  session.out << '\n' << plan->style.strong("audit: a real kernel's hot-unplug\n") << '\n';
  session.out.flush();
  run_main_audit(session);
  session.out << "\nNext: shootdown check hot-remove --strategy R0 --mapping pages   (a counterexample, step "
                 "by step)\n"
                 "      shootdown --help\n";
  return session.exit_code;
}

}  // namespace shootdown::cli
