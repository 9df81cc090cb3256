// SPDX-License-Identifier: MIT
#include "cli/check_campaign.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "cli/check_run.hpp"
#include "cli/in_order.hpp"
#include "cli/interrupt.hpp"
#include "cli/progress.hpp"
#include "report/check/describe.hpp"
#include "report/check/mutants.hpp"

namespace shootdown::cli {
namespace {

using report::MutantRow;
using scenario::CheckResult;
using scenario::Fate;
using scenario::HotRemoveConfig;
using scenario::Verdict;

/// The combinations of one strategy and regime that are safe, cheapest first, and their mutants.
struct Group {
  std::vector<CheckResult> safe;
  unsigned unsafe = 0;
  struct Mutant {
    model::Mutation mutation;
    std::vector<HotRemoveConfig> configs;  ///< in which its site is executed
  };
  std::vector<Mutant> mutants;
};

class Campaign {
 public:
  Campaign(const report::CheckPlan& plan, const CheckOptions& o, Session& session)
      : plan_(plan), o_(o), session_(session), stop_(stop_on_signals()) {}

  int run() {
    find_safe();
    for (Group& g : groups_) collect(g);
    std::size_t total = 0;
    for (const Group& g : groups_) total += g.mutants.size();
    const auto writer = make_mutant_writer(o_.format, plan_, total, session_.out);
    bool unexplained = false, bound = false;
    std::size_t decided = 0;
    for (const Group& g : groups_) {
      if (g.safe.empty()) continue;
      writer->begin(g.safe.front().config, g.mutants.size(), g.unsafe);
      try_all(g, [&](const MutantRow& r) {
        const Fate fate = r.result.fate;
        if (stop_ && fate == Fate::undecided) return;  // not looked at, or not to the end
        ++decided;
        unexplained |= fate == Fate::survived;
        bound |= fate == Fate::undecided;
        writer->row(r);
      });
    }
    writer->end();
    if (stop_) {
      session_.err << fmt::format("shootdown: interrupted: {} of {} mutants were decided\n", decided, total);
      return exit_code::interrupted;
    }
    return unexplained ? exit_code::violation : bound ? exit_code::bound : exit_code::holds;
  }

 private:
  explore::SearchOptions search_options() const {
    explore::SearchOptions options{.bounds = plan_.bounds};
    options.stop = &stop_;
    return options;
  }

  /// The unmutated checks: the campaign is about what is safe.
  void find_safe() {
    Progress progress(session_.progress ? &session_.err : nullptr, plan_.configs.size());
    auto work = [&](std::size_t job) {
      const HotRemoveConfig& c = plan_.configs[job];
      progress.started(job, fmt::format("unmutated {} {}", c.strategy.name, report::column_name(c)));
      auto options = search_options();
      options.progress = [&, job](const explore::Progress& p) { progress.report(job, p); };
      CheckResult r{.config = c, .verdict = Verdict::bound};
      if (!stop_) r = scenario::check(c, options);
      progress.finished(job, r.search.states);
      return r;
    };
    const HotRemoveConfig* last = nullptr;
    in_order<CheckResult>(plan_.configs.size(), worker_count(o_.jobs), work,
                          [&](std::size_t job, CheckResult r) {
                            const HotRemoveConfig& c = plan_.configs[job];
                            if (last == nullptr || last->real != c.real ||
                                std::string_view(last->strategy.name) != c.strategy.name)
                              groups_.emplace_back();
                            last = &c;
                            if (r.verdict == Verdict::safe)
                              groups_.back().safe.push_back(std::move(r));
                            else if (r.verdict == Verdict::unsafe)
                              ++groups_.back().unsafe;
                          });
  }

  static void collect(Group& g) {
    std::stable_sort(g.safe.begin(), g.safe.end(),
                     [](const auto& a, const auto& b) { return a.search.states < b.search.states; });
    std::map<std::string, std::size_t> known;
    for (const CheckResult& r : g.safe)
      for (const model::Mutation& m : scenario::mutants(r.config)) {
        const auto [at, added] = known.emplace(m.describe(), g.mutants.size());
        if (added) g.mutants.push_back({m, {}});
        g.mutants[at->second].configs.push_back(r.config);
      }
  }

  /// One mutant, in one combination after the other until one refutes it.
  MutantRow try_one(const Group::Mutant& m) const {
    MutantRow row{.result = {.mutation = m.mutation}};
    row.result.check.config = m.configs.front();
    for (const HotRemoveConfig& c : m.configs) {
      if (stop_) {
        row.result.fate = Fate::undecided;
        return row;
      }
      scenario::MutantResult r = scenario::try_mutant(c, m.mutation, search_options());
      ++row.combinations;
      row.states += r.check.search.states;
      row.seconds += r.check.search.seconds;
      if (row.combinations == 1 || r.fate > row.result.fate) row.result = std::move(r);
      if (row.result.fate == Fate::refuted) break;
    }
    return row;
  }

  template <typename Sink>
  void try_all(const Group& g, Sink&& sink) {
    Progress progress(session_.progress ? &session_.err : nullptr, g.mutants.size());
    auto work = [&](std::size_t job) {
      progress.started(job, g.mutants[job].mutation.describe().substr(0, 60));
      MutantRow row = try_one(g.mutants[job]);
      progress.finished(job, row.states);
      return row;
    };
    in_order<MutantRow>(g.mutants.size(), worker_count(o_.jobs), work, [&](std::size_t, MutantRow row) {
      progress.clear();
      sink(row);
    });
  }

  const report::CheckPlan& plan_;
  const CheckOptions& o_;
  Session& session_;
  const std::atomic<bool>& stop_;
  std::vector<Group> groups_;
};

}  // namespace

void run_campaign(const report::CheckPlan& plan, const CheckOptions& options, Session& session) {
  session.exit_code = Campaign(plan, options, session).run();
}

}  // namespace shootdown::cli
