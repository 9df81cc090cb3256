// SPDX-License-Identifier: MIT
// The commands about a real kernel: `audit`, `diff`, and what `list kernels` and `list workloads` say.
#pragma once

#include <string>
#include <vector>

#include "cli/session.hpp"

namespace shootdown::cli {

/// As the user typed them; empty means "not given".
struct AuditOptions {
  std::string kernel = "debian:6.12";
  std::string vmlinux;
  std::string system_map;
  std::string modules;
  std::string workload = "hot-unplug";
  std::string memory;
  unsigned cpus = 4;
  std::string cpu_model;
  unsigned timeout_s = 600;
  std::string record;
  std::string replay;
  std::string suppress;
  std::string format = "text";
  unsigned call_sites = 12;
  std::vector<std::string> required;
  bool no_plugin = false;
};
void run_audit(const AuditOptions& options, Session& session);

struct DiffOptions {
  std::string a;
  std::string b;
  std::string format = "text";
};
void run_diff(const DiffOptions& options, Session& session);

/// For `shootdown` without arguments: one real kernel's hot-unplug in a few lines, or one that says why none could
/// be run. The session's exit code becomes that of a violation if there is one, and stays what it is otherwise.
void run_main_audit(Session& session);

/// The kernels that `--kernel debian:VERSION` can name at present, and the workloads of the kit.
void list_kernels(const std::string& format, Session& session);
void list_workloads(const std::string& format, Session& session);

}  // namespace shootdown::cli
