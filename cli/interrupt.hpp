// SPDX-License-Identifier: MIT
// Ctrl-C and its relatives: noticed, so that what was found so far can still be printed. Not for cleaning up.
#pragma once

#include <atomic>

namespace shootdown::cli {

/// From the first call on, SIGINT, SIGTERM and SIGHUP set the flag that is returned instead of ending the process;
/// a second signal ends it at once. Handlers do not restart system calls: whoever waits is woken.
const std::atomic<bool>& stop_on_signals();

}  // namespace shootdown::cli
