// SPDX-License-Identifier: MIT
#include "scenario/check.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "scenario/cause.hpp"
#include "scenario/token.hpp"

namespace shootdown::scenario {
namespace {

using explore::Ending;
using explore::SearchOptions;
using explore::SearchResult;
using model::Judge;
using model::System;
using shadow::Harm;

std::optional<model::Violation> violation_in(const model::Events& events) {
  for (const model::Event& e : events)
    if (e.violation) return e.violation;
  return std::nullopt;
}

/// A premature release does damage when the page has a new owner: how that comes about, from `at` on.
std::vector<explore::TimelineStep> consequence_of(System& system, const model::Violation& v,
                                                  const System::State& at) {
  if (v.hardware || (v.finding.harm != Harm::stale_page && v.finding.harm != Harm::stale_table)) return {};
  SearchOptions options;
  options.bounds.states = 500'000;
  auto attempt = [&](Judge judge) -> std::vector<explore::TimelineStep> {
    options.judge = judge;
    const SearchResult r = search(system, at, options);
    if (r.ending != Ending::violation) return {};
    return follow(system, at, r.path, judge);
  };
  if (v.finding.harm == Harm::stale_table)
    if (auto steps = attempt(Judge::hardware_update); !steps.empty()) return steps;
  return attempt(Judge::reuse);
}

bool has_steps(System& system, const System::State& s) {
  System::Steps steps;
  system.env_steps(s.env, Judge::everything, steps);
  for (unsigned agent = 0; agent < system.agent_count(); ++agent)
    system.agent_steps(s.env, agent, s.locals[agent], Judge::everything, steps);
  return !steps.empty();
}

/// A state in which a run ends, or stays for ever.
std::optional<model::Violation> judge_last(System& system, const System::State& last) {
  if (!has_steps(system, last)) return system.judge_end(last);
  const SearchResult onward = explore::search(system, last, {});
  return onward.path.empty() ? onward.endless : std::nullopt;
}

/// Builds the counterexample at the end of a path; nothing when the path shows none.
std::optional<Counterexample> explain_path(System& system, const std::vector<explore::Choice>& path,
                                           bool at_end) {
  Counterexample x;
  x.timeline = follow(system, system.initial(), path, Judge::everything);
  if (x.timeline.size() != path.size()) return std::nullopt;
  const System::State last = x.timeline.empty() ? system.initial() : x.timeline.back().after;
  x.at_end = at_end;
  if (!at_end && x.timeline.empty()) return std::nullopt;
  auto violation = at_end ? judge_last(system, last) : violation_in(x.timeline.back().events);
  if (!violation) return std::nullopt;
  x.violation = *violation;
  x.cause = explain(system, x.violation, x.timeline);
  x.consequence = consequence_of(system, x.violation, last);
  return x;
}

}  // namespace

/// Procedures whose states were taken for one though they go on differently: nothing that was found holds then.
double audit(System& system) {
  const auto start = std::chrono::steady_clock::now();
  if (const std::string found = system.audit(); !found.empty())
    throw std::logic_error("the identity audit failed, so no verdict: " + found);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

CheckResult check(const HotRemoveConfig& config, const SearchOptions& options) {
  System system(set_up(config));
  system.keep_logs();
  CheckResult result{.config = config};
  unsigned retained = 0;
  result.search = search(system, system.initial(), options, [&](const System::State& end) {
    retained = std::max(retained, tables_retained(config, system.world(end.env)));
  });
  result.raisable = system.raisable();
  switch (result.search.ending) {
    case Ending::exhausted:
      // Whoever never ends is in a cycle, and that has been judged.
      if (result.search.end_states == 0) throw std::logic_error("no run ends, and none goes on for ever");
      result.audit_seconds = audit(system);
      result.verdict = Verdict::safe;
      result.tables_retained = retained;
      break;
    case Ending::violation:
      result.verdict = Verdict::unsafe;
      result.counterexample =
          explain_path(system, result.search.path, result.search.at_end || result.search.endless);
      result.config.early_reads = system.setup().early_reads;  // found without them: told without them
      result.replay = make_token(result.config, result.search.path);
      break;
    default: result.verdict = Verdict::bound; break;
  }
  return result;
}

std::unique_ptr<System> ready_to_follow(const HotRemoveConfig& config) {
  auto system = std::make_unique<System>(set_up(config));
  if (config.early_reads) system->begin_again();  // the pass that has them
  return system;
}

tl::expected<CheckResult, std::string> replay(std::string_view text) {
  auto token = parse_token(text);
  if (!token) return tl::unexpected(token.error());
  const auto config = configuration(*token);
  if (!config) return tl::unexpected(config.error());
  const auto follower = ready_to_follow(*config);
  System& system = *follower;
  CheckResult result{.config = *config, .verdict = Verdict::unsafe};
  result.search.ending = Ending::violation;
  result.search.path = token->path;
  result.counterexample = explain_path(system, token->path, false);
  if (!result.counterexample) {
    result.search.at_end = true;
    result.counterexample = explain_path(system, token->path, true);
  }
  if (!result.counterexample)
    return tl::unexpected(std::string("not a replay token: its path leads to no violation"));
  result.search.depth = static_cast<unsigned>(token->path.size());
  result.replay = std::string(text);
  return result;
}

}  // namespace shootdown::scenario
