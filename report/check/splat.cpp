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
    if (const StoryLine* l = origin(story, h.since); l != nullptr && !l->function.empty())
      out << fmt::format(", {} in {}", l->who, l->function);
    out << '\n';
  }
}

void write_page(std::ostream& out, const scenario::CheckResult& result, const Story& story) {
  const auto page = result.counterexample->violation.finding.page;
  const scenario::Arrangement a = scenario::arrange(result.config);
  if (page.value == 0) return;
  out << fmt::format("\nThe buggy page is {:#x}, ", page.value);
  if (a.range.contains(page)) out << "of the memory that is being removed";
  else if (result.counterexample->violation.finding.harm == shadow::Harm::stale_page) out << "behind vmemmap";
  else out << "a translation table";
  if (story.released_in)
    out << fmt::format("; given away in step {}, {} steps before", *story.released_in, story.step - *story.released_in);
  out << '\n';
}

}  // namespace

std::string splat_title(const scenario::CheckResult& result, const Story& story) {
  const char* function = story.trace.empty() ? "the end of the run" : story.trace.back();
  if (result.counterexample->violation.hardware) function = "a hardware table walk";
  return fmt::format("BUG: Shootdown: {} in {}", name(result.counterexample->violation.finding.harm), function);
}

void write_splat(std::ostream& out, const scenario::CheckResult& result, const Story& story, const Style& style) {
  const scenario::Counterexample& x = *result.counterexample;
  const model::Violation& v = x.violation;
  const scenario::HotRemoveConfig& c = result.config;
  out << rule << '\n' << style.bad(splat_title(result, story)) << '\n';
  out << describe(story.regime, v) << '\n';
  if (x.cause != shadow::Cause::none)
    out << fmt::format("Cause: {}: {}\n", name(x.cause), shadow::cause_texts[static_cast<std::size_t>(x.cause)].meaning);
  out << fmt::format("\nCPU: {} Step: {} Comm: {}/{}\n", v.cpu, story.step, experiment_name(c), c.strategy.name);
  out << fmt::format("Machine: {} pages, {}-bit VA, {} levels, {}, {} layout, rule {}{}\n", granule_name(c.real),
                     c.real.va_bits, c.real.level_count(), column_name(c), scenario::name(c.layout), scenario::name(c.table_rule),
                     c.geometry == scenario::Geometry::scaled ? ", scaled geometry" : "");
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
