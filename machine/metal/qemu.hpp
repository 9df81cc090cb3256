// SPDX-License-Identifier: MIT
// Running the image under QEMU: its command line, and what became of the run in one line a person understands.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "machine/metal/guest_log.hpp"

namespace shootdown::metal {

/// What to boot and how. Words of `bootargs` are those of machine/metal/guest/options.hpp.
struct QemuSpec {
  std::string program = "qemu-system-aarch64";
  std::string image;
  std::string cpu = "max";
  std::string accelerator = "tcg,thread=multi";
  unsigned cpus = 4;
  std::uint64_t memory_bytes = std::uint64_t{2} << 30;
  std::string bootargs;
  std::string plugin;  ///< shootdown-audit.so, to count instructions with; may be empty
  std::chrono::milliseconds timeout{300'000};
  std::function<bool()> interrupted;
  std::function<void(const GuestLog&)> on_progress;  ///< whenever the console has said something
};

/// Why there is no complete log, as the exit codes of the command line know it.
enum class RunFailure : std::uint8_t {
  none,
  unavailable,  ///< no QEMU, no image, or QEMU refused to start (69)
  unsupported,  ///< the CPU model lacks something that was asked for (69)
  died,         ///< the guest died, fell silent or spoke nonsense (75)
  interrupted,  ///< by the user (130)
};

struct QemuRun {
  GuestLog log;
  std::vector<std::uint64_t> instructions;  ///< of each removal, if a plugin counted them
  RunFailure failure = RunFailure::none;
  std::string message;                  ///< one line; empty without a failure
  std::vector<std::string> last_lines;  ///< of the console, or of QEMU's errors; for `died` and `unavailable`
};

std::vector<std::string> qemu_command(const QemuSpec& spec);
QemuRun run_qemu(const QemuSpec& spec);

}  // namespace shootdown::metal
