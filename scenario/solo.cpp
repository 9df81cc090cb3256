// SPDX-License-Identifier: MIT
#include "scenario/solo.hpp"

namespace shootdown::scenario {

using model::Event;
using model::Judge;
using model::System;

System::Local run_alone(System& system, System::State s, unsigned agent, Judge judge,
                        const std::function<bool(const Event&)>& see) {
  const unsigned cpu = system.cpu_of(agent);
  system.expect_tlbis_of(cpu);
  bool more = true;
  auto see_all = [&](const model::Events& events) {
    for (const Event& e : events) more = more && see(e);
  };
  while (more) {
    System::Steps steps;
    system.agent_steps(s.env, agent, s.locals[agent], judge, steps);
    if (!steps.empty()) {
      see_all(system.explain_agent_step(s.env, agent, s.locals[agent], judge, 0));
      s.env = steps.front().env;
      s.locals[agent] = steps.front().local;
      continue;
    }
    // It waits, or is done: what it has done becomes visible.
    system.env_steps(s.env, judge, steps);
    std::size_t choice = 0;
    for (; choice < steps.size(); ++choice) {
      const auto events = system.explain_env_step(s.env, judge, choice);
      if (events.front().kind != Event::Kind::drain || events.front().cpu != cpu) continue;
      see_all(events);
      break;
    }
    if (choice == steps.size()) break;
    s.env = steps[choice].env;
  }
  return s.locals[agent];
}

}  // namespace shootdown::scenario
