// SPDX-License-Identifier: MIT
// Two audits side by side, each as `audit_json` made it: what differs, and how that is written. Judges nothing; a
// violation that only one side has is theirs to have found.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace shootdown::report {

/// A kernel function without what a compiler appends to a copy of it (`.constprop.0`, `.isra.0`, `.cold`) and without
/// an offset: what two builds of it have in common.
std::string source_function(std::string_view symbol);

struct AuditDiff {
  struct Count {
    std::string name;
    std::uint64_t a = 0;
    std::uint64_t b = 0;
  };
  struct Violation {
    std::string title;  ///< with the function's source name
    std::string harm;
    std::string cause;
    std::uint64_t a = 0;  ///< how often
    std::uint64_t b = 0;
    bool accepted = false;  ///< every side that has it was told to suppress it

    bool one_sided() const { return !accepted && (a == 0) != (b == 0); }
  };

  std::vector<std::string> warnings;  ///< why counts may not be comparable
  std::vector<Count> counts;          ///< in the window, the largest first
  std::vector<Count> call_sites;
  std::vector<Violation> violations;

  bool one_sided() const;
};
AuditDiff diff_audits(const nlohmann::ordered_json& a, const nlohmann::ordered_json& b);

nlohmann::ordered_json audit_diff_json(const AuditDiff& diff, const nlohmann::ordered_json& a,
                                       const nlohmann::ordered_json& b);
void write_audit_diff(std::ostream& out, const AuditDiff& diff, const nlohmann::ordered_json& a,
                      const nlohmann::ordered_json& b);

}  // namespace shootdown::report
