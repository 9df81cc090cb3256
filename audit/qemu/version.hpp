// SPDX-License-Identifier: MIT
// Which QEMU is there, and whether the audit's plugin can be loaded into it.
#pragma once

#include <string>

#include "audit/error.hpp"

namespace shootdown::audit {

inline constexpr const char* qemu_program = "qemu-system-aarch64";

struct QemuVersion {
  unsigned major = 0;
  unsigned minor = 0;
};

/// Out of `qemu-system-aarch64 --version`'s first line; {0, 0} when there is none.
QemuVersion parse_qemu_version(const std::string& text);

/// Errors: `unavailable` when there is no QEMU, or one older than 9.1 (no plugin interface version 4) or newer
/// than 10.x (the interface that the plugin is built for was withdrawn).
Expected<QemuVersion> usable_qemu(const std::string& program = qemu_program);
Expected<QemuVersion> judge_qemu(QemuVersion version);

}  // namespace shootdown::audit
