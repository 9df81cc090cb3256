// SPDX-License-Identifier: MIT
// One cell of a verdict matrix in words, and how it is painted. Which cells stand where is the writers' business.
#pragma once

#include <algorithm>
#include <array>
#include <string>

#include "report/check/writer.hpp"

namespace shootdown::report {

/// Two short lines: the verdict and what a table rule keeps; or harm and cause; or the bound.
inline std::array<std::string, 2> cell(const scenario::CheckResult& r) {
  switch (r.verdict) {
    case scenario::Verdict::safe: {
      const unsigned kept = r.tables_retained.value_or(0);
      return {"safe", kept > 0 ? "keeps " + std::to_string(kept) + (kept > 1 ? " tables" : " table") : ""};
    }
    case scenario::Verdict::unsafe: {
      if (!r.counterexample) return {"UNSAFE", ""};
      const auto cause = r.counterexample->cause;
      return {name(r.counterexample->violation.finding.harm),
              cause != shadow::Cause::none ? name(cause) : ""};
    }
    case scenario::Verdict::bound: break;
  }
  if (is_not_searched(r)) return {"-", ""};
  return {"unknown", bound_hit(r)};
}

/// The result that stands for several: unsafe before unknown before safe, and the most tables kept.
inline const scenario::CheckResult* worst(const std::vector<const scenario::CheckResult*>& results) {
  auto rank = [](const scenario::CheckResult* r) {
    const unsigned verdict = r->verdict == scenario::Verdict::unsafe  ? 2
                             : r->verdict == scenario::Verdict::bound ? 1
                                                                      : 0;
    return std::pair(verdict, r->tables_retained.value_or(0));
  };
  const auto at = std::max_element(results.begin(), results.end(),
                                   [&](const auto* a, const auto* b) { return rank(a) < rank(b); });
  return at == results.end() ? nullptr : *at;
}

/// `text`, already as wide as it shall be, in the colour of the verdict; `line` as in `cell`.
inline std::string paint(const scenario::CheckResult& r, const std::string& text, int line,
                         const Style& style) {
  if (r.verdict == scenario::Verdict::bound) return style.caution(text);
  if (line == 1) return style.dim(text);
  return r.verdict == scenario::Verdict::safe ? style.good(text) : style.bad(text);
}

inline std::string without_trailing_blanks(std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

}  // namespace shootdown::report
