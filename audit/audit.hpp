// SPDX-License-Identifier: MIT
// The two ways to an audit's result: run a guest and judge it as it goes, or judge a trace again.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "audit/qemu/guest.hpp"
#include "audit/result.hpp"

namespace shootdown::audit {

/// What to run. Paths that are empty were not given.
struct AuditRequest {
  std::string kernel;                 ///< a file, or debian:VERSION
  std::filesystem::path vmlinux;      ///< symbols, if not the image's own
  std::filesystem::path system_map;   ///< the same
  std::filesystem::path modules_dir;  ///< modules of a kernel file (virtio_mem.ko), if they are not built in
  std::string workload = "hot-unplug";
  std::filesystem::path user_program;  ///< instead of a workload of the kit
  std::optional<std::uint64_t> memory_bytes;
  unsigned cpus = 4;
  std::string cpu_model;  ///< empty: cortex-a72, or neoverse-n1 where the page size needs it
  unsigned timeout_s = 600;
  std::filesystem::path record;        ///< where to keep the trace
  std::filesystem::path programs_dir;  ///< where shootdown-guest and shootdown-audit.so are
  std::vector<std::string> required;   ///< functions that the run is to reach
  bool plugin = true;                  ///< false: run the guest alone, for comparison
  std::function<bool()> interrupted;   ///< asked now and then; may be empty
};

/// A guest that dies, hangs or is interrupted still gives a result: what was found until then, and why it `stopped`.
/// Errors: those of find_kernel(), starting QEMU and the symbols; `usage` for an impossible combination.
Expected<AuditResult> audit_guest(const AuditRequest& request, const Progress& progress);

/// Errors: those of TraceReader.
Expected<AuditResult> audit_trace(const std::filesystem::path& trace,
                                  const std::vector<std::string>& required = {});

}  // namespace shootdown::audit
