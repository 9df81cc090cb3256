// SPDX-License-Identifier: MIT
#include "tests/negative/hot_remove_world.hpp"

#include <gtest/gtest.h>

namespace shootdown::scenario {

using model::Weakening;

mm::Strategy strategy(std::string_view name) {
  for (const mm::Strategy& s : mm::strategies)
    if (s.name == name) return s;
  throw std::logic_error("no such strategy");
}

HotRemoveConfig linear(std::string_view name, unsigned mapping) {
  HotRemoveConfig c;
  c.strategy = strategy(name);
  c.mapping = mm::mappings[mapping];
  return c;
}
HotRemoveConfig vmemmap(std::string_view name, VmemmapKind kind) {
  HotRemoveConfig c;
  c.strategy = strategy(name);
  c.path = Path::vmemmap;
  c.vmemmap = kind;
  return c;
}

CheckResult run(const HotRemoveConfig& c) {
  explore::SearchOptions options;
  options.bounds.states = 8'000'000;
  return check(c, options);
}
/// "harm cause", or "safe", or "bound".
std::string verdict(const CheckResult& r) {
  if (!r.counterexample) return name(r.verdict);
  return std::string(name(r.counterexample->violation.finding.harm)) + " " + name(r.counterexample->cause);
}
std::string verdict(const HotRemoveConfig& c) { return verdict(run(c)); }

/// The mutant of `c` that weakens the first operation of its kind inside `function`.
HotRemoveConfig mutant(HotRemoveConfig c, model::Kind kind, std::string_view function, Weakening w,
                       unsigned skip) {
  for (const model::Mutation& m : mutants(c)) {
    const bool inside = std::any_of(m.site.functions.begin(), m.site.functions.end(),
                                    [&](const char* f) { return f == function; });
    if (m.kind != kind || m.weakening != w || !inside || skip-- > 0) continue;
    c.mutation = m;
    return c;
  }
  ADD_FAILURE() << "no mutant " << name(w) << " in " << function;
  return c;
}

}  // namespace shootdown::scenario
