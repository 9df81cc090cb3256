// SPDX-License-Identifier: MIT
// How the result of an audit is written: one line of JSON (docs/audit.md), and a page for people. Judges
// nothing.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "audit/result.hpp"

namespace shootdown::report {

nlohmann::ordered_json audit_json(const audit::AuditResult& result);

struct AuditTextStyle {
  bool colour = false;
  std::size_t call_sites_max = 12;
};
void write_audit(std::ostream& out, const audit::AuditResult& result, const AuditTextStyle& style);

/// A few lines: what was run, its counts, its violations by title.
void write_audit_summary(std::ostream& out, const audit::AuditResult& result);

}  // namespace shootdown::report
