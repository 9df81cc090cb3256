// SPDX-License-Identifier: MIT
#include "report/check/timeline.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "report/check/describe.hpp"

namespace shootdown::report {
namespace {

/// Steps, CPUs and functions in columns that fit what is in them.
class Layout {
 public:
  explicit Layout(const Story& story) {
    for (const auto* part : {&story.lines, &story.consequence})
      for (const StoryLine& l : *part) function_ = std::max(function_, l.function.size());
  }
  std::string head(const StoryLine& l, bool new_step) const {
    return fmt::format("{:>5}  {:<5}  {:<{}}  ", new_step ? fmt::format("{}", l.step) : "", l.who, l.function,
                       function_);
  }
  std::string indent() const { return std::string(5 + 2 + 5 + 2 + function_ + 2 + 2, ' '); }
  std::string title() const {
    return fmt::format("{:>5}  {:<5}  {:<{}}  {}", "step", "CPU", "function", function_, "what");
  }

 private:
  std::size_t function_ = 8;
};

/// Longer stories are told without what concerns other entries only.
constexpr std::size_t long_story = 30;
/// What follows a line that matters: the flush after a clear, say.
constexpr std::size_t aftermath = 4;

std::vector<const StoryLine*> lines_to_tell(const std::vector<StoryLine>& lines, const TimelineOptions& o) {
  std::vector<const StoryLine*> told;
  for (const StoryLine& l : lines)
    if (!l.reading || o.all) told.push_back(&l);
  if (o.all || told.size() <= long_story) return told;
  std::vector<const StoryLine*> shorter;
  std::size_t since = aftermath + 1;
  for (const StoryLine* l : told) {
    since = l->relevant ? 0 : since + 1;
    shorter.push_back(since <= aftermath ? l : nullptr);
  }
  return shorter;
}

void write_lines(std::ostream& out, const std::vector<StoryLine>& lines, const Layout& layout,
                 const TimelineOptions& o) {
  unsigned last_step = 0, left_out = 0;
  auto gap = [&] {
    if (left_out > 0)
      out << o.style.dim(fmt::format("  ...  {} operations on other entries (-v shows them)", left_out))
          << '\n';
    left_out = 0;
  };
  for (const StoryLine* l : lines_to_tell(lines, o)) {
    if (l == nullptr) {
      ++left_out;
      continue;
    }
    gap();
    out << layout.head(*l, l->step != last_step) << l->text << '\n';
    last_step = l->step;
    for (std::size_t i = 0; i < l->notes.size(); ++i) {
      const bool finding = l->harmful && i + 1 == l->notes.size();
      const std::string text = (finding ? "=> " : "") + l->notes[i];
      out << layout.indent() << (finding ? o.style.bad(text) : o.style.dim(text)) << '\n';
    }
  }
  gap();
}

void write_held(std::ostream& out, const Story& story, const Style& style) {
  if (story.held.empty()) return;
  out << style.strong(
      fmt::format("\nStill held at step {}, though the tables no longer say so:\n", story.step));
  for (const Held& h : story.held) {
    std::string text = fmt::format("  {:<9}{}, stale since step {}", describe(h.entry.holders),
                                   describe(story.regime, h.entry), h.since);
    shadow::CpuSet doomed;
    for (const shadow::Doom& d : h.entry.dooms) doomed = doomed | d.cpus;
    if (!doomed.empty()) text += fmt::format("; invalidation under way for {}", describe(doomed));
    if (!h.entry.unsynchronised.empty())
      text += fmt::format("; {} lacks its ISB", describe(h.entry.unsynchronised));
    out << text << '\n';
  }
}

}  // namespace

void write_timeline(std::ostream& out, const Story& story, const TimelineOptions& o) {
  const Layout layout(story);
  out << o.style.dim(layout.title()) << '\n';
  write_lines(out, story.lines, layout, o);
  write_held(out, story, o.style);
  if (story.consequence.empty()) return;
  out << o.style.strong("\nWhat comes of it:\n");
  write_lines(out, story.consequence, layout, o);
}

void write_counterexample(std::ostream& out, const scenario::CheckResult& result, const TimelineOptions& o) {
  const scenario::HotRemoveConfig& c = result.config;
  const Story story = tell(result);
  out << o.style.strong(
      fmt::format("Strategy {}, {} pages, {}-bit VA, {}: harm in step {}, and in no earlier\n\n",
                  c.strategy.name, granule_name(c.real), c.real.va_bits, search_name(c), story.step));
  if (c.mutation) out << "Mutant: " << c.mutation->describe() << "\n\n";
  write_timeline(out, story, o);
  out << '\n';
  write_splat(out, result, story, o.style);
}

}  // namespace shootdown::report
