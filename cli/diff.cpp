// SPDX-License-Identifier: MIT
// The `diff` command: two audits side by side, each a trace or a line of `audit --format json`.
#include "cli/audit.hpp"
#include "cli/audit_file.hpp"
#include "cli/suggest.hpp"
#include "report/audit_diff.hpp"

namespace shootdown::cli {

void run_diff(const DiffOptions& o, Session& session) {
  if (o.format != "text" && o.format != "json")
    return session.fail({exit_code::usage, unknown_name("format", o.format, {"text", "json"})});
  const auto a = read_audit(o.a);
  if (!a) return session.fail(a.error());
  const auto b = read_audit(o.b);
  if (!b) return session.fail(b.error());
  const report::AuditDiff diff = report::diff_audits(*a, *b);
  if (o.format == "json")
    session.out << report::audit_diff_json(diff, *a, *b).dump() << '\n';
  else
    report::write_audit_diff(session.out, diff, *a, *b);
  if (diff.one_sided()) session.exit_code = exit_code::violation;
}

}  // namespace shootdown::cli
