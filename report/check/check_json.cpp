// SPDX-License-Identifier: MIT
#include "report/check/check_json.hpp"

#include "report/check/describe.hpp"
#include "scenario/inventory.hpp"

namespace shootdown::report {
namespace {

using nlohmann::ordered_json;
using scenario::Path;

ordered_json or_null(const char* text) {
  return text != nullptr ? ordered_json(text) : ordered_json(nullptr);
}

ordered_json geometry(const scenario::HotRemoveConfig& c) {
  const vmsa::Regime r = scenario::model_regime(c);
  return {{"scaled", scenario::has_scaled_tables(c)},
          {"levels", r.level_count()},
          {"entries_per_table", r.entries_per_table()},
          {"root_entries", r.entry_count(r.root_level())},
          {"contpte", r.contiguous_count(vmsa::page_level)},
          {"contpmd", r.contiguous_count(vmsa::pmd_level)},
          {"section_pages", r.section_size() / r.page_size()},
          {"section_vmemmap_pages", r.section_vmemmap_size() / r.page_size()}};
}

ordered_json world(const scenario::HotRemoveConfig& c) {
  const scenario::Inventory all = scenario::inventory(c);
  ordered_json leaves = ordered_json::object();
  unsigned groups = 0;
  for (const auto& at : all.leaves) {
    leaves[std::to_string(at.level.value)] = at.count;
    groups += at.groups;
  }
  ordered_json range_tlbi = nullptr;
  if (const auto& t = all.range_tlbi)
    range_tlbi = {{"pages", t->pages}, {"scale", t->scale}, {"num", t->num}};
  return {{"pages", all.pages},
          {"sections", all.sections},
          {"leaves", leaves},
          {"contiguous_groups", groups},
          {"group_members", all.group_members},
          {"tables_whole", all.tables_whole},
          {"tables_in_part", all.tables_in_part},
          {"tables_shared", all.tables_shared},
          {"leftover_words", all.leftovers},
          {"range_tlbi", range_tlbi}};
}

ordered_json bounds(const scenario::CheckResult& r, const CheckPlan& plan) {
  if (plan.replay) return nullptr;
  return {{"states", plan.bounds.states}, {"bytes", plan.bounds.bytes}, {"hit", or_null(bound_hit(r))}};
}

class JsonWriter final : public CheckWriter {
 public:
  explicit JsonWriter(std::ostream& out) : out_(out) {}

  void begin(const CheckPlan& plan) override { plan_ = plan; }
  void result(const scenario::CheckResult& r) override {
    if (is_not_searched(r)) return;
    out_ << check_json(r, plan_).dump() << std::endl;  // a line at a time, for whoever follows
  }

 private:
  std::ostream& out_;
  CheckPlan plan_;
};

}  // namespace

ordered_json check_json(const scenario::CheckResult& result, const CheckPlan& plan) {
  const scenario::HotRemoveConfig& c = result.config;
  const auto& x = result.counterexample;
  ordered_json j;
  j["command"] = "check";
  j["scenario"] = plan.scenario;
  j["strategy"] = c.strategy.name;
  j["granule"] = granule_name(c.real);
  j["va_bits"] = c.real.va_bits;
  j["cpus"] = c.cpus;
  j["path"] = name(c.path);
  j["mapping"] = or_null(c.path != Path::vmemmap ? c.mapping.name : nullptr);
  j["vmemmap"] = or_null(c.path != Path::linear ? name(c.vmemmap) : nullptr);
  j["extent"] = name(c.extent);
  j["memmap_on_memory"] = c.memmap_on_memory;
  j["layout"] = scenario::name(c.layout);
  j["table_rule"] = scenario::name(c.table_rule);
  j["features"] = feature_names(c.features);
  j["geometry"] = geometry(c);
  j["world"] = world(c);
  j["bounds"] = bounds(result, plan);
  j["verdict"] = name(result.verdict);
  j["harm"] = or_null(x ? name(x->violation.finding.harm) : nullptr);
  j["cause"] = or_null(x && x->cause != shadow::Cause::none ? name(x->cause) : nullptr);
  j["tables_retained"] =
      result.tables_retained ? ordered_json(*result.tables_retained) : ordered_json(nullptr);
  j["states"] = plan.replay ? ordered_json(nullptr) : ordered_json(result.search.states);
  j["transitions"] = plan.replay ? ordered_json(nullptr) : ordered_json(result.search.transitions);
  j["seconds"] = plan.replay ? ordered_json(nullptr) : ordered_json(result.search.seconds);
  j["audit_seconds"] = plan.replay ? ordered_json(nullptr) : ordered_json(result.audit_seconds);
  j["rules"] = plan.replay ? ordered_json(nullptr) : ordered_json(report::rule_names(result.raisable));
  j["replay"] = result.replay.empty() ? ordered_json(nullptr) : ordered_json(result.replay);
  return j;
}

std::unique_ptr<CheckWriter> make_json_writer(std::ostream& out) { return std::make_unique<JsonWriter>(out); }

}  // namespace shootdown::report
