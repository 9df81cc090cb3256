// SPDX-License-Identifier: MIT
// Results for people: a matrix a page size, strategies downwards and kinds of mapping across, as reviewers draw it;
// below it what was explored, and the counterexamples that were asked for.
#include <algorithm>

#include <fmt/format.h>

#include "report/check/cell.hpp"
#include "report/check/describe.hpp"
#include "report/check/timeline.hpp"
#include "report/check/writer.hpp"

namespace shootdown::report {
namespace {

using scenario::CheckResult;
using scenario::HotRemoveConfig;
using scenario::Path;
using scenario::Verdict;

constexpr std::size_t name_width = 20;
constexpr std::size_t cell_width = 18;  // the longest name, break-before-make, and a space

bool same_column(const HotRemoveConfig& a, const HotRemoveConfig& b) {
  return column_name(a) == column_name(b);
}

std::string thousands(std::uint64_t n) {
  const std::string digits = std::to_string(n);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

/// The two lines over a column.
std::array<std::string, 2> heading(const HotRemoveConfig& c) {
  switch (c.path) {
    case Path::linear: return {"linear map", c.mapping.name};
    case Path::vmemmap: return {"vmemmap", name(c.vmemmap)};
    case Path::both: return {std::string(c.mapping.name) + " and", std::string("vmemmap ") + name(c.vmemmap)};
  }
  return {};
}

class TextWriter final : public CheckWriter {
 public:
  explicit TextWriter(std::ostream& out) : out_(out) {}

  void begin(const CheckPlan& plan) override { plan_ = plan; }

  void result(const CheckResult& r) override {
    if (plan_.replay) return write_counterexample(out_, r, {plan_.style, plan_.verbose});
    if (row_.empty() && kept_.empty()) start_matrix(r.config);
    row_.push_back(r);
    ++done_;
    const HotRemoveConfig* next = done_ < plan_.configs.size() ? &plan_.configs[done_] : nullptr;
    const bool last_of_matrix = next == nullptr || next->real != r.config.real;
    if (last_of_matrix || next->strategy.name != r.config.strategy.name) finish_row();
    if (last_of_matrix) finish_matrix();
    if (next == nullptr) finish();
    out_.flush();
  }

 private:
  void start_matrix(const HotRemoveConfig& c) {
    columns_.clear();
    for (const HotRemoveConfig& other : plan_.configs) {
      const bool known =
          std::any_of(columns_.begin(), columns_.end(), [&](const auto& k) { return same_column(k, other); });
      if (other.real == c.real && !known) columns_.push_back(other);
    }
    totals_ = {};
    out_ << plan_.style.strong(fmt::format("{}: {} pages, {}-bit VA, {} levels, {} CPUs", plan_.scenario,
                                           granule_name(c.real), c.real.va_bits, c.real.level_count(),
                                           c.cpus))
         << fmt::format(", {} layout, table rule {}\n\n", scenario::name(c.layout),
                        scenario::name(c.table_rule));
    for (int line = 0; line < 2; ++line) {
      std::string text = fmt::format("  {:<{}}", line == 1 ? "strategy" : "", name_width);
      std::string before;
      for (const auto& column : columns_) {
        const std::string words = heading(column).at(line);
        text += fmt::format("{:<{}}", line == 0 && words == before ? "" : words, width());
        before = words;
      }
      out_ << plan_.style.dim(without_trailing_blanks(text)) << '\n';
    }
  }

  std::size_t width() const {
    return std::any_of(columns_.begin(), columns_.end(), [](const auto& c) { return c.path == Path::both; })
               ? std::size_t{20}
               : cell_width;
  }

  void finish_row() {
    std::array<std::string, 2> lines{fmt::format("  {:<{}}", row_.front().config.strategy.name, name_width),
                                     std::string(name_width + 2, ' ')};
    bool second = false;
    for (const auto& column : columns_) {
      std::vector<const CheckResult*> extents;
      for (const CheckResult& x : row_)
        if (same_column(x.config, column)) extents.push_back(&x);
      const CheckResult* r = worst(extents);
      for (int line = 0; line < 2; ++line)
        lines.at(line) +=
            r != nullptr ? paint(*r, fmt::format("{:<{}}", cell(*r).at(line), width()), line, plan_.style)
                         : std::string(width(), ' ');
      second |= r != nullptr && !cell(*r)[1].empty();
    }
    out_ << without_trailing_blanks(lines[0]) << '\n';
    if (second) out_ << without_trailing_blanks(lines[1]) << '\n';
    for (CheckResult& r : row_) account(std::move(r));
    row_.clear();
  }

  void account(CheckResult r) {
    totals_.states += r.search.states;
    rules_.bits = static_cast<std::uint16_t>(rules_.bits | r.raisable.bits);
    totals_.seconds += r.search.seconds;
    const unsigned one = is_not_searched(r) ? 0 : 1;
    totals_.searched += one;
    if (r.verdict == Verdict::safe) ++totals_.safe;
    if (r.verdict == Verdict::unsafe) ++totals_.unsafe;
    if (r.verdict == Verdict::bound) totals_.bound += one;
    if (r.counterexample && !first_unsafe_) first_unsafe_ = r.config;
    kept_.push_back(std::move(r));
  }

  void finish_matrix() {
    out_ << fmt::format("\n  {} searched: {} safe, {} unsafe{}; {} states, {:.1f} s of search\n\n",
                        totals_.searched, totals_.safe, totals_.unsafe,
                        totals_.bound > 0 ? fmt::format(", {} not finished", totals_.bound) : "",
                        thousands(totals_.states), totals_.seconds);
    if (plan_.verbose) write_searches();
    if (plan_.verbose || is_one_cell()) write_counterexamples();
    kept_.clear();
  }

  void write_searches() const {
    for (const CheckResult& r : kept_)
      out_ << fmt::format(
          "  {:<{}}{:<24}{:>12} states {:>12} transitions  depth {:>4} {:>7.2f} s {:>6} MiB  audit {:.2f} "
          "s\n",
          r.config.strategy.name, name_width, search_name(r.config), thousands(r.search.states),
          thousands(r.search.transitions), r.search.depth, r.search.seconds, r.search.bytes >> 20,
          r.audit_seconds);
    out_ << "\nThe worlds:\n";
    std::vector<std::string> told;
    for (const CheckResult& r : kept_) {
      const std::string which = search_name(r.config);
      if (std::find(told.begin(), told.end(), which) != told.end()) continue;
      told.push_back(which);
      out_ << fmt::format("  {:<24}{}\n", which, world_text(r.config));
    }
    out_ << '\n';
  }
  /// One strategy over one kind of mapping: then a counterexample is what was asked for. One is enough, whichever
  /// of its extents is the first to show it.
  bool is_one_cell() const {
    const HotRemoveConfig& first = plan_.configs.front();
    return std::all_of(plan_.configs.begin(), plan_.configs.end(), [&](const HotRemoveConfig& c) {
      return c.strategy.name == first.strategy.name && c.real == first.real && same_column(c, first);
    });
  }
  void write_counterexamples() const {
    for (const CheckResult& r : kept_) {
      if (!r.counterexample) continue;
      write_counterexample(out_, r, {plan_.style, plan_.verbose});
      out_ << '\n';
      if (!plan_.verbose) return;
    }
  }

  void finish() const {
    const HotRemoveConfig& c = plan_.configs.front();
    out_ << explored(c) << reuse(c);
    if (rules_.bits != 0)
      out_ << fmt::format("Rules that these searches can break: {}.\n", fmt::join(rule_names(rules_), ", "));
    out_ << fmt::format("Bounds of each search: {} states, {} MiB.\n", thousands(plan_.bounds.states),
                        plan_.bounds.bytes >> 20);
    if (plan_.left_out > 0)
      out_ << fmt::format("Left out: {} combination{} that do not exist ({}).\n", plan_.left_out,
                          plan_.left_out > 1 ? "s" : "", plan_.left_out_reason);
    if (first_unsafe_ && !is_one_cell() && !plan_.verbose)
      out_ << "A counterexample: shootdown check " << plan_.scenario << ' ' << selection(*first_unsafe_)
           << '\n';
  }

  /// With two CPUs every order in which pages come again is searched.
  static const char* reuse(const HotRemoveConfig& c) {
    return c.cpus == 2
               ? ""
               : "Not explored: that an allocation gets another page than the lowest that was given back\n"
                 "(--cpus 2 explores it).\n";
  }
  static std::string explored(const HotRemoveConfig& c) {
    const bool adds = c.experiment == scenario::Experiment::hot_add;
    std::string text = fmt::format(
        "\"safe\": every schedule was explored, and nothing found. {} CPUs: one {}; one uses a neighbouring\n"
        "page and vmalloc{}; one takes over whatever is released and writes words into it that look like "
        "descriptors.\n"
        "Explored: every order of their operations, every translation and walk-cache entry that a CPU may "
        "keep,\n"
        "every moment at which a store may become visible, reads that return what a word was{}.\n",
        c.cpus, adds ? "adds memory and removes it" : "removes memory",
        c.cpus == 4 ? "; one dumps the tables" : " and dumps the tables",
        c.features.hardware_access_flag ? ", access flags that hardware sets" : "");
    const vmsa::Regime r = scenario::model_regime(c);
    if (c.geometry == scenario::Geometry::scaled)
      text += fmt::format(
          "Scaled down: tables of {} entries, contiguous groups of {}; levels, kinds of leaves and shared "
          "tables "
          "are those\n"
          "of the real regime (--geometry full searches full tables). Ranges: across leaf tables, part of "
          "one, a "
          "whole\n"
          "one and part of another; inside one that a neighbour shares; and long, by level 1 blocks of full "
          "tables "
          "(-v).\n",
          r.entries_per_table(), r.contiguous_count(vmsa::page_level));
    else
      text += fmt::format("Full tables of {} entries; two sections of {} pages.\n", r.entries_per_table(),
                          r.section_size() / r.page_size());
    return text;
  }
  static std::string selection(const HotRemoveConfig& c) {
    std::string text = fmt::format("--strategy {} --granule {}", c.strategy.name, granule_name(c.real));
    if (c.path == Path::both) text += " --path both";
    if (c.path != Path::vmemmap) text += fmt::format(" --mapping {}", c.mapping.name);
    if (c.path != Path::linear) text += fmt::format(" --vmemmap {}", name(c.vmemmap));
    return text;
  }

  struct Totals {
    std::uint64_t states = 0;
    double seconds = 0;
    unsigned searched = 0, safe = 0, unsafe = 0, bound = 0;
  };

  std::ostream& out_;
  CheckPlan plan_;
  std::vector<HotRemoveConfig> columns_;
  std::vector<CheckResult> row_;
  std::vector<CheckResult> kept_;  ///< of this matrix
  Totals totals_;
  shadow::HarmSet rules_;  ///< that any of the searches could raise
  std::optional<HotRemoveConfig> first_unsafe_;
  std::size_t done_ = 0;
};

}  // namespace

std::unique_ptr<CheckWriter> make_text_writer(std::ostream& out) { return std::make_unique<TextWriter>(out); }

}  // namespace shootdown::report
