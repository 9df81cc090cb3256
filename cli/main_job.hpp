// SPDX-License-Identifier: MIT
// `shootdown` without arguments.
#pragma once

#include "cli/session.hpp"

namespace shootdown::cli {

/// Hot-remove with every strategy, on one screen. Returns the exit code.
int run_main_job(Session& session);

}  // namespace shootdown::cli
