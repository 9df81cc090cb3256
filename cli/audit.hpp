// SPDX-License-Identifier: MIT
// The commands about a real kernel: `audit`, `diff`, and what `list kernels` and `list workloads` say.
#pragma once

#include "cli/command.hpp"

namespace shootdown::cli {

void add_audit(CLI::App& app, Session& session);
void add_diff(CLI::App& app, Session& session);

/// The kernels that `--kernel debian:VERSION` can name at present, and the workloads of the kit.
void list_kernels(const std::string& format, Session& session);
void list_workloads(const std::string& format, Session& session);

}  // namespace shootdown::cli
