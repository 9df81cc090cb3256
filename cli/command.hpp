// SPDX-License-Identifier: MIT
// What main.cpp and the commands know of each other: a command adds its subcommand to the application and, when
// it has been chosen and run, leaves its exit code in the session.
#pragma once

#include <ostream>

#include <CLI/CLI.hpp>

#include "cli/exit_code.hpp"
#include "cli/refusal.hpp"

namespace shootdown::cli {

struct Session {
  std::ostream& out;      ///< results, and nothing else
  std::ostream& err;      ///< errors and progress
  bool colour = false;    ///< standard output is a terminal, and NO_COLOR is not set
  bool progress = false;  ///< standard error is a terminal
  int exit_code = exit_code::holds;

  /// The way out of a command that cannot do what was asked.
  void fail(const Refusal& refusal) {
    err << "shootdown: " << refusal.message << '\n';
    exit_code = refusal.exit_code;
  }
};

void add_list(CLI::App& app, Session& session);
void add_check(CLI::App& app, Session& session);
void add_time(CLI::App& app, Session& session);
void add_boot(CLI::App& app, Session& session);

/// `shootdown` without arguments: hot-remove with every strategy, on one screen. Returns the exit code.
int run_main_job(Session& session);

}  // namespace shootdown::cli
