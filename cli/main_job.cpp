// SPDX-License-Identifier: MIT
// `shootdown` without arguments: memory hot-remove with every strategy and page size, on one screen.
#include "cli/check_options.hpp"
#include "cli/check_run.hpp"
#include "cli/command.hpp"

namespace shootdown::cli {

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
  const auto writer = report::make_text_writer(session.out);
  return run_checks(*plan, o.jobs, *writer, session);
}

}  // namespace shootdown::cli
