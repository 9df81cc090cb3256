// SPDX-License-Identifier: MIT
#include "report/check/mutants.hpp"

#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "report/check/describe.hpp"

namespace shootdown::report {
namespace {

using nlohmann::ordered_json;
using scenario::Fate;
using scenario::MutantResult;
using scenario::Path;

const char* verdict(Fate fate) {
  switch (fate) {
    case Fate::idle:
    case Fate::substituted: return "redundant";
    case Fate::survived: return "survived";
    case Fate::undecided: return "bound";
    case Fate::refuted: return "refuted";
  }
  return "?";
}

/// "stale-page, no-dsb".
std::string harm_and_cause(const MutantResult& r) {
  const auto& x = r.check.counterexample;
  if (!x) return {};
  std::string text = name(x->violation.finding.harm);
  if (x->cause != shadow::Cause::none) text += fmt::format(", {}", name(x->cause));
  return text;
}

std::string replay_command(const MutantResult& r) { return "shootdown check --replay " + r.check.replay; }

class MutantText final : public MutantWriter {
 public:
  MutantText(const CheckPlan& plan, std::ostream& out) : plan_(plan), out_(out) {}

  void begin(const scenario::HotRemoveConfig& c, std::size_t mutants, unsigned unsafe) override {
    out_ << plan_.style.strong(fmt::format("{} {}, {} pages, {}-bit VA: {} mutants\n", plan_.scenario,
                                           c.strategy.name, granule_name(c.real), c.real.va_bits, mutants));
    if (unsafe > 0)
      out_ << fmt::format("  ({} kinds of mapping are unsafe without any mutation, and left out)\n", unsafe);
    out_.flush();
  }
  void row(const MutantRow& row) override {
    const MutantResult& r = row.result;
    ++count_[verdict(r.fate)];
    out_ << "  " << r.mutation.describe() << "\n      " << outcome(r) << '\n';
    if (r.fate == Fate::refuted && plan_.verbose)
      out_ << "      " << plan_.style.dim(replay_command(r)) << '\n';
    out_.flush();
  }
  void end() override {
    out_ << '\n';
    for (const auto& [what, n] : count_) out_ << fmt::format("{} {}  ", n, what);
    out_ << '\n';
  }

 private:
  std::string outcome(const MutantResult& r) const {
    switch (r.fate) {
      case Fate::idle:
      case Fate::substituted: return fmt::format("redundant: {}", r.reason);
      case Fate::survived: return plan_.style.bad("survived, and nobody knows why");
      case Fate::undecided:
        return plan_.style.caution(
            fmt::format("unknown: the search was ended by its bound ({})", bound_hit(r.check)));
      case Fate::refuted:
        return plan_.style.good(fmt::format("refuted: {}", harm_and_cause(r))) +
               plan_.style.dim(
                   fmt::format(" ({}; {} steps)", search_name(r.check.config), r.check.search.path.size()));
    }
    return {};
  }

  const CheckPlan& plan_;
  std::ostream& out_;
  std::map<std::string, unsigned> count_;
};

class MutantJson final : public MutantWriter {
 public:
  MutantJson(const CheckPlan& plan, std::ostream& out) : plan_(plan), out_(out) {}

  void begin(const scenario::HotRemoveConfig&, std::size_t, unsigned) override {}
  void row(const MutantRow& row) override {
    const MutantResult& r = row.result;
    const scenario::HotRemoveConfig& c = r.check.config;
    const bool refuted = r.fate == Fate::refuted;
    const auto& x = r.check.counterexample;
    ordered_json functions = ordered_json::array();
    for (const char* f : r.mutation.site.functions) functions.push_back(f);
    ordered_json j;
    j["command"] = "check-mutant";
    j["scenario"] = plan_.scenario;
    j["strategy"] = c.strategy.name;
    j["granule"] = granule_name(c.real);
    j["va_bits"] = c.real.va_bits;
    j["cpus"] = c.cpus;
    j["mutation"] = name(r.mutation.weakening);
    j["site"] = {{"functions", functions}, {"line", r.mutation.site.line}};
    j["description"] = r.mutation.describe();
    j["verdict"] = verdict(r.fate);
    j["path"] = refuted ? ordered_json(name(c.path)) : nullptr;
    j["extent"] = refuted ? ordered_json(name(c.extent)) : nullptr;
    j["mapping"] = refuted && c.path != Path::vmemmap ? ordered_json(c.mapping.name) : nullptr;
    j["vmemmap"] = refuted && c.path != Path::linear ? ordered_json(name(c.vmemmap)) : nullptr;
    j["harm"] = x ? ordered_json(name(x->violation.finding.harm)) : nullptr;
    j["cause"] = x && x->cause != shadow::Cause::none ? ordered_json(name(x->cause)) : nullptr;
    j["reason"] = r.reason.empty() ? ordered_json(nullptr) : ordered_json(r.reason);
    j["combinations"] = row.combinations;
    j["states"] = row.states;
    j["seconds"] = row.seconds;
    j["replay"] = r.check.replay.empty() ? ordered_json(nullptr) : ordered_json(r.check.replay);
    out_ << j.dump() << std::endl;
  }

 private:
  const CheckPlan& plan_;
  std::ostream& out_;
};

class MutantKtap final : public MutantWriter {
 public:
  MutantKtap(std::size_t total, std::ostream& out) : out_(out) {
    out_ << "KTAP version 1\n1.." << total << std::endl;
  }

  void begin(const scenario::HotRemoveConfig& c, std::size_t, unsigned) override {
    group_ = fmt::format("{}.{}_{}", c.strategy.name, granule_name(c.real), c.real.va_bits);
  }
  void row(const MutantRow& row) override {
    const MutantResult& r = row.result;
    const std::string why = r.fate == Fate::refuted ? harm_and_cause(r) : r.reason;
    out_ << "# " << verdict(r.fate) << (why.empty() ? "" : ": ") << why << '\n';
    const bool ok = r.fate == Fate::refuted || r.redundant();
    out_ << fmt::format("{}ok {} {}: {}", ok ? "" : "not ", ++number_, group_, r.mutation.describe());
    if (r.fate == Fate::undecided) out_ << " # TIMEOUT";
    out_ << std::endl;
  }

 private:
  std::ostream& out_;
  std::string group_;
  unsigned number_ = 0;
};

}  // namespace

std::unique_ptr<MutantWriter> make_mutant_writer(const std::string& format, const CheckPlan& plan,
                                                 std::size_t total, std::ostream& out) {
  if (format == "json") return std::make_unique<MutantJson>(plan, out);
  if (format == "ktap") return std::make_unique<MutantKtap>(total, out);
  return std::make_unique<MutantText>(plan, out);
}

}  // namespace shootdown::report
