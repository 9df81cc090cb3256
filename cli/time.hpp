// SPDX-License-Identifier: MIT
// `shootdown time`: predicted cost of a scenario on a hardware profile, and sweeps. The command line itself is
// parsed in main.cpp; this is what it fills in and calls.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace shootdown::cli {

/// Options as the user typed them; empty means "not given".
struct TimeOptions {
  std::string scenario = "hot-remove";
  std::string from;                     ///< an audit whose call sites are priced, instead of a scenario
  std::vector<std::string> strategies;  ///< names; empty or "all": P R0 R B L T
  std::string granule = "4k";           ///< 4k, 16k, 64k, all
  std::string va_bits;                  ///< a number, all; default 48
  std::string cpus;                     ///< default: the profile's
  std::string sockets;                  ///< that the CPUs are spread over; default: as many as they fill
  std::string memory = "480G";
  std::string profile = "neoverse-v2-72";  ///< name or file; more after commas, each laid over those before
  std::string load = "compute";            ///< of the other CPUs: idle, compute, syscalls, memory, mprotect
  std::string mapping;          ///< pages, contpte, blocks, contpmd; default: what the profile's CPUs get
  std::string vmemmap;          ///< block, pages
  std::string erratum = "off";  ///< on, off
  bool blocks_one_by_one = false;
  std::uint64_t seed = 1;
  unsigned samples = 1000;
  std::vector<std::string> sweeps;  ///< "cpus=1..256", "memory=1G..4T"
  std::string format = "text";      ///< text, json
  std::string output;               ///< a file for the JSON lines; a sweep goes on from what is there
  std::string plot;                 ///< an SVG file, sweeps only
  unsigned jobs = 0;                ///< host threads; 0: one for each core
  bool progress = false;            ///< standard error is a terminal
};

/// Runs it; returns the exit code. Everything the user reads goes to `out`, errors and progress to `err`.
int run_time(const TimeOptions& options, std::ostream& out, std::ostream& err);

/// `time --from`: the same for the call sites of an audit.
int run_time_from(const TimeOptions& options, std::ostream& out, std::ostream& err);

/// `list profiles`: the built-in ones, or every figure of the one named by `spec` (a name or a file).
int list_profiles(const std::string& spec, const std::string& format, std::ostream& out, std::ostream& err);

/// `list predictions`: public measurements, and what the profiles say about the same cases.
int list_predictions(const std::string& format, std::ostream& out);

}  // namespace shootdown::cli
