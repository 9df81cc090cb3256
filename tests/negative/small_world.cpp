// SPDX-License-Identifier: MIT
#include "tests/negative/small_world.hpp"

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
  if (found.search.at_end)
    found.violation = system.judge_end(found.timeline.empty() ? start : found.timeline.back().after);
  else
    for (const Event& e : found.timeline.back().events)
      if (e.violation && !found.violation) found.violation = e.violation;
  if (found.violation) found.cause = name(scenario::explain(system, *found.violation, found.timeline));
  return found;
}

}  // namespace shootdown::model
