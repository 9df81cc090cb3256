// SPDX-License-Identifier: MIT
#include "scenario/campaign.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "scenario/solo.hpp"

namespace shootdown::scenario {
namespace {

using explore::SearchOptions;
using model::Event;
using model::Judge;
using model::Kind;
using model::Mutation;
namespace op = model::op;
using model::System;

constexpr unsigned remover = 0;

/// CPU 0 alone from start to end, no store draining before it must.
struct SoloRun {
  std::vector<Event> events;
  System::Local end = 0;
};
SoloRun run_solo(System& system) {
  SoloRun run;
  run.end = run_alone(system, system.initial(), remover, Judge::reuse, [&](const Event& e) {
    run.events.push_back(e);
    return true;
  });
  return run;
}

std::string key(const model::Site& site, Kind kind, model::Weakening w) {
  std::string text = fmt::format("{}:{}:{}", kind.index(), static_cast<int>(w), site.line);
  for (const char* f : site.functions) text += fmt::format(":{}", f);
  return text;
}

/// One piece of work that an operation does: make a store visible, doom an entry, take it from its other holders
/// (DSB), take it from the issuer itself (ISB), make a new mapping safe to use by the CPU that made it (ISB).
enum class Work : std::uint8_t { visible, doomed, completed, synchronised, usable };
using Piece = std::tuple<Work, std::uint64_t, std::uint64_t>;  // what, slot, value

/// All pieces of work of a run, and who did each first.
std::vector<std::pair<Piece, const Event*>> work_of(const std::vector<Event>& events) {
  std::vector<std::pair<Piece, const Event*>> all;
  for (const Event& e : events) {
    for (const Event::Visible& s : e.stores) all.push_back({{Work::visible, s.slot.value, s.after.bits}, &e});
    for (const auto& [entry, outcome] : e.invalidated)
      if (outcome == shadow::Outcome::doomed)
        all.push_back({{Work::doomed, entry.slot.value, entry.value.bits}, &e});
    for (const mm::PhysAddr slot : e.synchronised) all.push_back({{Work::usable, slot.value, 0}, &e});
    const Work work = model::is<op::Isb>(e.op) ? Work::synchronised : Work::completed;
    for (const shadow::Entry& entry : e.dropped)
      all.push_back({{work, entry.slot.value, entry.value.bits}, &e});
  }
  return all;
}

const char* noun(const Event& e) {
  const auto text =
      model::Overloaded{[](const op::Dsb&) { return "DSB"; },
                        [](const op::Isb&) { return "ISB"; },
                        [](const op::Tlbi&) { return "TLBI"; },
                        [](const op::FreePages&) { return "the allocator's lock in free_pages()"; },
                        [](const op::DropLock&) { return "the unlock"; },
                        [](const op::ReleaseRange&) { return "the release"; },
                        [](const auto&) { return "the operation"; }};
  return std::visit(text, e.op);
}

/// Who does in the mutant's run what the weakened operation did in the original's.
std::pair<Fate, std::string> substitute(const HotRemoveConfig& config, const Mutation& mutation) {
  HotRemoveConfig original = config;
  original.mutation.reset();
  HotRemoveConfig mutant = config;
  mutant.mutation = mutation;
  System before(set_up(original));
  System after(set_up(mutant));
  const SoloRun a = run_solo(before);
  const SoloRun b = run_solo(after);

  std::set<Piece> wanted;
  for (const auto& [piece, event] : work_of(a.events))
    if (mutation.applies(event->site, model::kind(event->op))) wanted.insert(piece);
  if (wanted.empty())
    return {Fate::idle,
            "nothing is pending there: no store that a walker could miss, no stale entry that anyone holds"};

  std::map<std::string, unsigned> others;
  std::set<Piece> undone = wanted;
  for (const auto& [piece, event] : work_of(b.events)) {
    if (undone.erase(piece) == 0) continue;
    if (!mutation.applies(event->site, model::kind(event->op)))
      ++others[fmt::format("{} at {}:{}", noun(*event), event->site.function(), event->site.line)];
  }
  if (!undone.empty()) return {Fate::survived, {}};
  if (others.empty())
    return {Fate::substituted, "what is left of the operation still does all of its work here"};
  const auto most = std::max_element(others.begin(), others.end(),
                                     [](const auto& x, const auto& y) { return x.second < y.second; });
  return {Fate::substituted, fmt::format("its work is done in time by {}", most->first)};
}

}  // namespace

std::vector<Mutation> mutants(const HotRemoveConfig& config) {
  HotRemoveConfig original = config;
  original.mutation.reset();
  System system(set_up(original));
  const SoloRun run = run_solo(system);
  std::vector<Mutation> all;
  std::set<std::string> known;
  for (const auto& visit : system.procedure(remover).visits(run.end))
    for (model::Weakening w : model::weakenings(visit.op))
      if (known.insert(key(visit.site, model::kind(visit.op), w)).second)
        all.push_back({w, visit.site, model::kind(visit.op)});
  return all;
}

MutantResult try_mutant(const HotRemoveConfig& config, const Mutation& mutation,
                        const SearchOptions& options) {
  HotRemoveConfig mutant = config;
  mutant.mutation = mutation;
  MutantResult result{.mutation = mutation, .check = check(mutant, options)};
  if (result.check.verdict == Verdict::unsafe) result.fate = Fate::refuted;
  if (result.check.verdict == Verdict::safe)
    std::tie(result.fate, result.reason) = substitute(config, mutation);
  return result;
}

}  // namespace shootdown::scenario
