// SPDX-License-Identifier: MIT
#include "tests/negative/verdict.hpp"

#include "scenario/cause.hpp"

namespace shootdown::model {

Found search_small(Setup setup) {
  System system(std::move(setup));
  const auto start = system.initial();
  explore::SearchOptions options;
  options.bounds.states = 2'000'000;
  Found found{.search = explore::search(system, start, options)};
  if (found.search.ending != explore::Ending::violation) return found;
  found.timeline = explore::follow(system, start, found.search.path, Judge::everything);
  if (found.search.endless)
    found.violation = found.search.endless;
  else if (found.search.at_end)
    found.violation = system.judge_end(found.timeline.empty() ? start : found.timeline.back().after);
  else
    for (const Event& e : found.timeline.back().events)
      if (e.violation && !found.violation) found.violation = e.violation;
  if (found.violation) found.cause = name(scenario::explain(system, *found.violation, found.timeline));
  return found;
}

Found search_tasks(std::vector<Task> tasks, const Given& given) {
  SmallWorld w(static_cast<unsigned>(tasks.size()), given.attributes);
  w.setup.tasks = std::move(tasks);
  if (given.world) given.world(w);
  return search_small(std::move(w.setup));
}

std::string verdict(const Found& found) {
  if (found.safe()) return "safe";
  if (!found.violation) return "not decided";
  return std::string(name(found.harm())) + " " + found.cause;
}
std::string verdict(std::vector<Task> tasks, const Given& given) {
  return verdict(search_tasks(std::move(tasks), given));
}

}  // namespace shootdown::model
