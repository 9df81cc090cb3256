// SPDX-License-Identifier: MIT
// The `audit` command: boots a real kernel and judges it, or judges a trace again.
#include "cli/audit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "audit/audit.hpp"
#include "audit/guest/protocol.hpp"
#include "audit/suppress.hpp"
#include "cli/interrupt.hpp"
#include "cli/suggest.hpp"
#include "cli/time_plan.hpp"
#include "report/audit.hpp"

namespace shootdown::cli {
namespace {

using audit::AuditRequest;
using audit::AuditResult;

constexpr unsigned cpus_max = 16;  // one SGI target list, so that counts of interrupts are simple

void fail(Session& session, const audit::Error& error) {
  session.fail({static_cast<int>(error.code), error.message});
  std::string_view details = error.details;
  while (!details.empty()) {
    const std::size_t end = details.find('\n');
    session.err << "  | " << details.substr(0, end) << '\n';
    details = end == std::string_view::npos ? std::string_view() : details.substr(end + 1);
  }
}

std::vector<std::string> workload_names() {
  std::vector<std::string> names;
  for (const auto& w : audit::protocol::workloads) names.emplace_back(w.name);
  return names;
}

/// A workload is one of the kit's, or a file; a name that is neither is mistyped.
bool choose_workload(const AuditOptions& o, AuditRequest& request, Session& session) {
  const std::vector<std::string> names = workload_names();
  if (std::ranges::find(names, o.workload) != names.end()) {
    request.workload = o.workload;
    return true;
  }
  if (o.workload.find('/') == std::string::npos && !std::filesystem::exists(o.workload)) {
    session.fail({exit_code::usage, unknown_name("workload", o.workload, names)});
    return false;
  }
  request.user_program = o.workload;
  return true;
}

std::filesystem::path programs_directory() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

audit::Expected<AuditResult> run_guest(const AuditOptions& o, AuditRequest request, Session& session) {
  request.kernel = o.kernel;
  request.vmlinux = o.vmlinux;
  request.system_map = o.system_map;
  request.modules_dir = o.modules;
  request.cpus = o.cpus;
  request.cpu_model = o.cpu_model;
  request.timeout_s = o.timeout_s;
  request.record = o.record;
  request.programs_dir = programs_directory();
  request.plugin = !o.no_plugin;
  request.required = o.required;
  const std::atomic<bool>& stopped = stop_on_signals();
  request.interrupted = [&stopped] { return stopped.load(); };
  return audit::audit_guest(request, [&](std::string_view line) {
    // Downloads take long enough to be told even where nobody watches a terminal.
    if (session.progress || line.starts_with("downloading") || line.starts_with("reading"))
      session.err << "shootdown: " << line << '\n';
  });
}

void write(const AuditOptions& o, const AuditResult& result, Session& session) {
  if (o.format == "json") {
    session.out << report::audit_json(result).dump() << '\n';
  } else {
    report::write_audit(session.out, result, {.colour = session.colour, .call_sites_max = o.call_sites});
  }
  const bool harmed =
      std::ranges::any_of(result.violations, [](const auto& v) { return v.suppressed.empty(); });
  const bool judged = result.judged_nothing.empty() && result.required_not_reached.empty();
  session.exit_code = harmed ? exit_code::violation : judged ? exit_code::holds : exit_code::nothing_judged;
}

}  // namespace

void run_audit(const AuditOptions& o, Session& session) {
  if (o.format != "text" && o.format != "json")
    return session.fail({exit_code::usage, unknown_name("format", o.format, {"text", "json"})});
  if (o.cpus < 1 || o.cpus > cpus_max)
    return session.fail(
        {exit_code::usage, fmt::format("--cpus {}: a number from 1 to {} is needed", o.cpus, cpus_max)});
  AuditRequest request;
  if (!choose_workload(o, request, session)) return;
  if (!o.memory.empty()) {
    const auto bytes = parse_size(o.memory);
    if (!bytes)
      return session.fail({exit_code::usage, fmt::format("--memory {}: {}", o.memory, bytes.error())});
    request.memory_bytes = *bytes;
  }
  std::vector<audit::Suppression> suppressions;
  if (!o.suppress.empty()) {
    auto read = audit::read_suppressions(o.suppress);
    if (!read) return fail(session, read.error());
    suppressions = std::move(*read);
  }
  auto result = o.replay.empty() ? run_guest(o, request, session) : audit::audit_trace(o.replay, o.required);
  if (!result) return fail(session, result.error());
  audit::suppress(*result, suppressions);
  if (!result->stopped) return write(o, *result, session);
  // What was found until then is shown; the exit code says that it is not all.
  if (result->stopped->code == audit::ExitCode::interrupted || !result->violations.empty())
    write(o, *result, session);
  fail(session, *result->stopped);
}

void run_main_audit(Session& session) {
  const AuditOptions o;
  auto result = run_guest(o, {}, session);
  if (!result || result->stopped) {
    const audit::Error& error = result ? *result->stopped : result.error();
    session.out << "audit of a real kernel: not shown: " << error.message << '\n';
    return;
  }
  report::write_audit_summary(session.out, *result);
  if (!result->violations.empty())
    session.exit_code = exit_code::violation;
  else if (!result->judged_nothing.empty())
    session.exit_code = exit_code::nothing_judged;
}

void list_kernels(const std::string& format, Session& session) {
  auto kernels = audit::list_debian_kernels(
      [&](std::string_view line) { session.err << "shootdown: " << line << '\n'; });
  if (!kernels) return fail(session, kernels.error());
  for (const auto& k : *kernels) {
    if (format == "json") {
      const nlohmann::ordered_json json = {{"command", "list"},
                                           {"kind", "kernel"},
                                           {"name", k.spec()},
                                           {"meaning", k.release},
                                           {"download_bytes", k.image.download_bytes}};
      session.out << json.dump() << '\n';
    } else {
      session.out << fmt::format("  {:<24}  {}\n", k.spec(), k.release);
    }
  }
}

void list_workloads(const std::string& format, Session& session) {
  for (const auto& w : audit::protocol::workloads) {
    if (format == "json") {
      const nlohmann::ordered_json json = {{"command", "list"},
                                           {"kind", "workload"},
                                           {"name", std::string(w.name)},
                                           {"meaning", std::string(w.summary)}};
      session.out << json.dump() << '\n';
    } else {
      session.out << fmt::format("  {:<16}  {} (--memory {}M by default)\n", w.name, w.summary,
                                 w.memory_bytes >> 20);
    }
  }
}

}  // namespace shootdown::cli
