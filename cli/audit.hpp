// SPDX-License-Identifier: MIT
// The commands about a real kernel: `audit`, `diff`, and what `list kernels` and `list workloads` say.
#pragma once

#include "cli/command.hpp"

namespace shootdown::cli {

void add_audit(CLI::App& app, Session& session);
void add_diff(CLI::App& app, Session& session);

/// For `shootdown` without arguments: one real kernel's hot-unplug in a few lines, or one that says why none could
/// be run. The session's exit code becomes that of a violation if there is one, and stays what it is otherwise.
void run_main_audit(Session& session);

/// The kernels that `--kernel debian:VERSION` can name at present, and the workloads of the kit.
void list_kernels(const std::string& format, Session& session);
void list_workloads(const std::string& format, Session& session);

}  // namespace shootdown::cli
