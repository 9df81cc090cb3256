// SPDX-License-Identifier: MIT
// The finding in the shape that kernel developers know from KASAN and lockdep.
#include <algorithm>

#include <fmt/format.h>

#include "report/check/describe.hpp"
#include "report/check/timeline.hpp"

namespace shootdown::report {
namespace {

constexpr const char* rule = "==================================================================";

const char* experiment_name(const scenario::HotRemoveConfig& c) {
  return c.experiment == scenario::Experiment::hot_add ? "hot-add" : "hot-remove";
}

bool has_entry(shadow::Harm h) {
  using enum shadow::Harm;
  return h == stale_page || h == stale_table || h == break_before_make || h == stale_permission;
}

/// Who made the entry stale: the line of the story in which the old value went away.
const StoryLine* origin(const Story& story, unsigned since) {
  const auto at = std::find_if(story.lines.begin(), story.lines.end(),
                               [&](const StoryLine& l) { return l.step == since && !l.notes.empty(); });
  return at == story.lines.end() ? nullptr : &*at;
}

void write_holders(std::ostream& out, const Story& story, const model::Violation& v) {
  const shadow::Entry& e = v.finding.entry;
  out << fmt::format("\n{} may still use:\n {}\n", describe(v.finding.holders), describe(story.regime, e));
  for (const Held& h : story.held) {
    if (!h.entry.same_value(e)) continue;
    out << fmt::format(" stale since step {}", h.since);
    if (const StoryLine* l = origin(story, h.since); l != nullptr && !l->code.empty())
      out << fmt::format(", {} in {}", l->who, l->code);
    out << '\n';
  }
}

/// In the manner of page_owner.
void write_page(std::ostream& out, const scenario::CheckResult& result, const Story& story) {
  const model::Violation& v = result.counterexample->violation;
  const auto page = v.finding.page;
  if (page.value == 0 || v.finding.harm == shadow::Harm::break_before_make) return;
  const bool removed = scenario::arrange(result.config).range.contains(page);
  out << fmt::format("\nThe buggy page: {:#x}, {}\n", page.value,
                     removed                                      ? "part of the memory that is removed"
                     : v.finding.harm == shadow::Harm::stale_page ? "behind vmemmap"
                     : v.finding.harm == shadow::Harm::walker_table && !story.released
                         ? "never a table in this run"
                         : "a translation table");
  auto deed = [&](const char* what, const std::optional<Story::Deed>& d) {
    if (d) out << fmt::format(" {} by CPU {} in {}, step {}\n", what, d->cpu, d->function, d->step);
  };
  deed("released", story.released);
  deed("taken over", story.taken);
}

/// The sentence of the finding on lines that fit a terminal.
std::string broken_up(std::string text) {
  for (const char* word : {" through the stale ", " while "}) {
    const std::size_t at = text.find(word);
    if (at != std::string::npos) text[at] = '\n';
  }
  return text;
}

}  // namespace

std::string splat_title(const scenario::CheckResult& result, const Story& story) {
  const char* function = story.trace.empty() ? "the end of the run" : story.trace.back();
  if (result.counterexample->violation.hardware) function = "a hardware table walk";
  return fmt::format("BUG: Shootdown: {} in {}", name(result.counterexample->violation.finding.harm),
                     function);
}

void write_splat(std::ostream& out, const scenario::CheckResult& result, const Story& story,
                 const Style& style) {
  const scenario::Counterexample& x = *result.counterexample;
  const model::Violation& v = x.violation;
  const scenario::HotRemoveConfig& c = result.config;
  out << rule << '\n' << style.bad(splat_title(result, story)) << '\n';
  out << broken_up(describe(story.regime, v)) << '\n';
  if (x.cause != shadow::Cause::none)
    out << fmt::format("Cause: {}: {}\n", name(x.cause),
                       shadow::cause_texts[static_cast<std::size_t>(x.cause)].meaning);
  out << fmt::format("\nCPU: {} Comm: {}/{} Step: {}\n", v.cpu, experiment_name(c), c.strategy.name,
                     story.step);
  out << fmt::format("Machine: {} pages, {}-bit VA, {} levels, {}, {} layout, rule {}{}\n",
                     granule_name(c.real), c.real.va_bits, c.real.level_count(), search_name(c),
                     scenario::name(c.layout), scenario::name(c.table_rule),
                     scenario::has_scaled_tables(c) ? ", scaled geometry" : "");
  if (!story.trace.empty()) {
    out << "Call trace:\n";
    for (std::size_t i = story.trace.size(); i-- > 0;) {
      out << ' ' << story.trace[i];
      if (i + 1 == story.trace.size()) out << ':' << story.trace_line;
      out << '\n';
    }
  }
  if (has_entry(v.finding.harm)) write_holders(out, story, v);
  write_page(out, result, story);
  out << "\nTo see it again: shootdown check --replay " << result.replay << '\n' << rule << '\n';
}

}  // namespace shootdown::report
