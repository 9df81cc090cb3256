// SPDX-License-Identifier: MIT
// The exit codes of every command, as docs/formats.md promises them.
#pragma once

namespace shootdown::cli::exit_code {

inline constexpr int holds = 0;           ///< what the command claims holds
inline constexpr int violation = 1;       ///< something unsafe was found
inline constexpr int nothing_judged = 3;  ///< the run reached nothing that could have been judged
inline constexpr int bound = 4;   ///< a bound was reached before the search ended, and nothing unsafe found
inline constexpr int usage = 64;  ///< a command line that makes no sense
inline constexpr int bad_input = 65;    ///< data that is malformed or foreign
inline constexpr int no_input = 66;     ///< a file that is missing or cannot be written
inline constexpr int unavailable = 69;  ///< a tool or service that is needed is not there
inline constexpr int internal = 70;     ///< a bug of ours
inline constexpr int guest = 75;        ///< the guest died or timed out
inline constexpr int interrupted = 130;

}  // namespace shootdown::cli::exit_code
