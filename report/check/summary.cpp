// SPDX-License-Identifier: MIT
// The verdicts of several page sizes in one matrix: what a newcomer sees first.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "report/check/cell.hpp"
#include "report/check/describe.hpp"

namespace shootdown::report {
namespace {

using scenario::CheckResult;
using scenario::HotRemoveConfig;

class SummaryWriter final : public CheckWriter {
 public:
  explicit SummaryWriter(std::ostream& out) : out_(out) {}

  void begin(const CheckPlan& plan) override {
    plan_ = plan;
    for (const HotRemoveConfig& c : plan.configs) {
      add(regimes_, regime_name(c));
      add(strategies_, c.strategy.name);
      add(columns_, column_name(c));
    }
  }

  void result(const CheckResult& r) override { results_.push_back(r); }

  void end() override {
    std::string head;
    for (const std::string& r : regimes_) head += (head.empty() ? "" : ", ") + r;
    out_ << plan_.style.strong("check: every schedule of " + std::to_string(plan_.configs.front().cpus) +
                               " CPUs")
         << fmt::format(" (page size/VA bits: {})\n\n", head);
    std::string line = fmt::format("  {:<20}", "strategy");
    for (const std::string& c : columns_) line += fmt::format("{:<18}", c);
    out_ << plan_.style.dim(without_trailing_blanks(line)) << '\n';
    for (const std::string& s : strategies_) row(s);
    totals();
  }

 private:
  static std::string regime_name(const HotRemoveConfig& c) {
    return fmt::format("{}/{}", granule_name(c.real), c.real.va_bits);
  }
  static void add(std::vector<std::string>& list, const std::string& text) {
    if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
  }

  /// The results of one cell, one a page size: the worst of its extents.
  std::vector<const CheckResult*> at(const std::string& strategy, const std::string& column) const {
    std::map<std::string, std::vector<const CheckResult*>> extents;
    for (const CheckResult& r : results_)
      if (strategy == r.config.strategy.name && column == column_name(r.config))
        extents[regime_name(r.config)].push_back(&r);
    std::vector<const CheckResult*> all;
    for (const std::string& regime : regimes_)
      if (extents.contains(regime)) all.push_back(worst(extents[regime]));
    return all;
  }

  /// What is said of a cell: the worst of its verdicts, and for which page sizes when they differ.
  struct Said {
    const CheckResult* worst = nullptr;
    std::array<std::string, 2> lines;
  };
  static Said say(const std::vector<const CheckResult*>& results) {
    Said said;
    if (results.empty()) return said;
    said.worst = worst(results);
    said.lines = cell(*said.worst);
    if (said.worst->verdict == scenario::Verdict::safe) said.lines[1].clear();  // kept tables: see `check`
    std::string which;
    bool differ = false;
    for (const CheckResult* r : results) {
      if (cell(*r)[0] == said.lines[0])
        which += (which.empty() ? "" : ",") + granule_name(r->config.real);
      else
        differ = true;
    }
    if (differ) said.lines[1] = "with " + which;
    return said;
  }

  void row(const std::string& strategy) {
    std::array<std::string, 2> lines{fmt::format("  {:<20}", strategy), std::string(22, ' ')};
    bool second = false;
    for (const std::string& column : columns_) {
      const Said said = say(at(strategy, column));
      for (std::size_t i = 0; i < 2; ++i) {
        const std::string text = fmt::format("{:<18}", said.lines[i]);
        lines[i] += said.worst != nullptr ? paint(*said.worst, text, static_cast<int>(i), plan_.style) : text;
      }
      second |= !said.lines[1].empty();
    }
    out_ << without_trailing_blanks(lines[0]) << '\n';
    if (second) out_ << without_trailing_blanks(lines[1]) << '\n';
  }

  void totals() {
    std::uint64_t states = 0;
    unsigned finished = 0;
    for (const CheckResult& r : results_) {
      states += r.search.states;
      if (r.verdict != scenario::Verdict::bound) ++finished;
    }
    out_ << fmt::format(
        "\n  {} of {} searches finished, {:.1f} million states. safe: explored to the end, nothing found, "
        "in a model with\n  scaled-down tables. Otherwise the harm, and below it the cause.\n",
        finished, results_.size(), static_cast<double>(states) / 1e6);
  }

  std::ostream& out_;
  CheckPlan plan_;
  std::vector<std::string> regimes_, strategies_, columns_;
  std::vector<CheckResult> results_;
};

}  // namespace

std::unique_ptr<CheckWriter> make_summary_writer(std::ostream& out) {
  return std::make_unique<SummaryWriter>(out);
}

}  // namespace shootdown::report
