// SPDX-License-Identifier: MIT
// `list predictions`: public measurements beside what the profiles say, with those that miss.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/time.hpp"
#include "report/time.hpp"
#include "scenario/predictions.hpp"

namespace shootdown::cli {

namespace {

using nlohmann::ordered_json;
using report::readable_number;
using scenario::Prediction;

const char* verdict(const Prediction& p) { return p.inside() ? "inside" : "MISSES"; }

ordered_json prediction_json(const Prediction& p) {
  return {{"command", "list"},
          {"kind", "prediction"},
          {"name", p.name},
          {"meaning", p.what},
          {"source", p.source},
          {"profile", p.profile},
          {"cpus", p.cpus},
          {"unit", p.unit},
          {"published_low", p.published_low},
          {"published_high", p.published_high},
          {"ours", p.ours},
          {"ours_low", p.ours_low},
          {"ours_high", p.ours_high},
          {"fitted", p.fitted.empty() ? ordered_json(nullptr) : ordered_json(p.fitted)},
          {"inside", p.inside()},
          {"remark", p.remark.empty() ? ordered_json(nullptr) : ordered_json(p.remark)}};
}

void write_prediction(std::ostream& out, const Prediction& p) {
  const std::string published =
      p.published_low == p.published_high
          ? readable_number(p.published_low)
          : readable_number(p.published_low) + " .. " + readable_number(p.published_high);
  out << fmt::format("{:<23}{:>3}{:>14}{:>9}  {:<16}{:<8}{}\n", p.name, p.unit, published,
                     readable_number(p.ours),
                     readable_number(p.ours_low) + " .. " + readable_number(p.ours_high), verdict(p),
                     p.fitted.empty() ? "predicted" : fmt::format("fitted: {}", p.fitted));
  out << fmt::format("    {}\n    {}; ours: {}, {} CPUs\n", p.what, p.source, p.profile, p.cpus);
  if (!p.remark.empty()) out << fmt::format("    {}\n", p.remark);
}

}  // namespace

int list_predictions(const std::string& format, std::ostream& out) {
  const timed::Sampling sampling;
  const std::vector<Prediction> all = scenario::predictions(sampling);
  if (format == "json") {
    for (const Prediction& p : all) out << prediction_json(p).dump() << '\n';
    return 0;
  }
  out << fmt::format("{:<23}{:>3}{:>14}{:>9}  {:<16}{}\n", "case", "", "published", "ours", "5 to 95 %",
                     "the published figure lies");
  unsigned predicted = 0, missed = 0;
  for (const Prediction& p : all) {
    write_prediction(out, p);
    if (!p.fitted.empty()) continue;
    ++predicted;
    missed += p.inside() ? 0 : 1;
  }
  out << fmt::format(
      "\n{} predicted, of which {} miss; {} fitted. Ours are estimates: medians of {} samples, seed {}.\n",
      predicted, missed, all.size() - predicted, sampling.samples, sampling.seed);
  return 0;
}

}  // namespace shootdown::cli
