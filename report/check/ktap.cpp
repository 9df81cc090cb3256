// SPDX-License-Identifier: MIT
// KTAP version 1 (docs.kernel.org/dev-tools/ktap.html): one test a combination, `ok` when it is safe. A search that
// a bound ended is `not ok` with the directive TIMEOUT: it is no pass.
#include <sstream>

#include <fmt/format.h>

#include "report/check/describe.hpp"
#include "report/check/timeline.hpp"
#include "report/check/writer.hpp"

namespace shootdown::report {
namespace {

class KtapWriter final : public CheckWriter {
 public:
  explicit KtapWriter(std::ostream& out) : out_(out) {}

  void begin(const CheckPlan& plan) override {
    plan_ = plan;
    out_ << "KTAP version 1\n1.." << plan.configs.size() << std::endl;
  }

  void result(const scenario::CheckResult& r) override {
    const scenario::HotRemoveConfig& c = r.config;
    if (r.counterexample) {
      const Story story = tell(r);
      diagnose(splat_title(r, story));
      diagnose(fmt::format("cause: {}", name(r.counterexample->cause)));
      if (plan_.verbose || plan_.configs.size() == 1) timeline(story);
      diagnose("replay: " + r.replay);
    }
    if (!plan_.replay && !is_not_searched(r))
      diagnose(fmt::format("states: {} transitions: {} seconds: {:.2f}", r.search.states,
                           r.search.transitions, r.search.seconds));
    if (const char* hit = bound_hit(r)) diagnose(fmt::format("bound: {}", hit));
    const bool ok = r.verdict == scenario::Verdict::safe;
    out_ << fmt::format("{}ok {} {}.{}.{}_{}.{}", ok ? "" : "not ", ++number_, plan_.scenario,
                        c.strategy.name, granule_name(c.real), c.real.va_bits, identifier(search_name(c)));
    if (r.verdict == scenario::Verdict::bound)
      out_ << (is_not_searched(r) ? " # SKIP interrupted" : " # TIMEOUT");
    out_ << std::endl;
  }

  void end() override {
    if (plan_.left_out > 0)
      diagnose(fmt::format("{} combinations do not exist: {}", plan_.left_out, plan_.left_out_reason));
  }

 private:
  void diagnose(const std::string& text) { out_ << "# " << text << '\n'; }
  void timeline(const Story& story) {
    std::stringstream text;
    write_timeline(text, story, {});
    for (std::string line; std::getline(text, line);) diagnose(line);
  }
  static std::string identifier(std::string text) {
    for (char& c : text)
      if (c == ' ' || c == '+' || c == ',') c = '_';
    return text;
  }

  std::ostream& out_;
  CheckPlan plan_;
  unsigned number_ = 0;
};

}  // namespace

std::unique_ptr<CheckWriter> make_ktap_writer(std::ostream& out) { return std::make_unique<KtapWriter>(out); }

}  // namespace shootdown::report
