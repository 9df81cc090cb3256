// SPDX-License-Identifier: MIT
// One run of an audited guest: QEMU started with the kernel, the kit's initramfs and the plugin, its console
// followed, its memory plugged and unplugged on request, its events handed on, and nothing left behind.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "audit/error.hpp"
#include "audit/kernel/btf.hpp"
#include "audit/kernel/store.hpp"
#include "audit/kernel/watched_places.hpp"

namespace shootdown::audit {

inline constexpr std::uint64_t guest_ram_start = 0x40000000;
inline constexpr std::uint64_t guest_ram_bytes = std::uint64_t{1} << 30;

struct GuestOptions {
  Kernel kernel;
  std::string workload;                ///< a name of protocol::workloads, or "user"
  std::filesystem::path user_program;  ///< for "user"
  std::filesystem::path busybox;       ///< for user programs that are scripts; may be empty
  std::uint64_t memory_bytes = 0;      ///< what the workload is about
  unsigned cpus = 4;
  std::string cpu_model = "cortex-a72";
  unsigned timeout_s = 600;             ///< for the whole run
  std::filesystem::path guest_program;  ///< shootdown-guest
  std::optional<TaskLayout> task;       ///< nothing: threads stay without a pid
  std::vector<WatchedPlaces::Place> watched;
  std::filesystem::path plugin;       ///< shootdown-audit.so; empty: run without it, for comparison
  std::function<bool()> interrupted;  ///< asked now and then; may be empty
};

struct GuestCallbacks {
  /// Encoded events, in order, and how many.
  std::function<void(std::span<const std::uint8_t>, std::uint32_t)> chunk;
  /// Something changed that a waiting user would like to know ("booted 6.12.43+deb12-arm64").
  Progress progress;
};

struct GuestOutcome {
  std::string release;  ///< as the guest's uname says
  double seconds = 0;
};

/// Errors: `unavailable` (QEMU, the kit), `guest_failed` when the guest panics, hangs until the timeout, or
/// reports that its workload cannot run (details: the last console lines), `interrupted`.
Expected<GuestOutcome> run_guest(const GuestOptions& options, const GuestCallbacks& callbacks);

}  // namespace shootdown::audit
