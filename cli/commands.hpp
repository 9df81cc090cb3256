// SPDX-License-Identifier: MIT
// The commands, for main.cpp: each adds its subcommand to the application and, when it has been chosen and run, leaves
// its exit code in the session.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/session.hpp"

namespace shootdown::cli {

void add_commands(CLI::App& app, Session& session);

}  // namespace shootdown::cli
