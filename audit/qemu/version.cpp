// SPDX-License-Identifier: MIT
#include "audit/qemu/version.hpp"

#include <cstdio>

#include "audit/process/command.hpp"

namespace shootdown::audit {

QemuVersion parse_qemu_version(const std::string& text) {
  QemuVersion v;
  if (std::sscanf(text.c_str(), "QEMU emulator version %u.%u", &v.major, &v.minor) != 2) return {};
  return v;
}

Expected<QemuVersion> judge_qemu(QemuVersion v) {
  if (v.major == 0) return fail(ExitCode::unavailable, "{} does not say its version", qemu_program);
  if (v.major < 9 || (v.major == 9 && v.minor < 1))
    return fail(
        ExitCode::unavailable,
        "QEMU {}.{} is too old for the plugin: 9.1 to 10.x is needed (on Debian 12: from bookworm-backports)",
        v.major, v.minor);
  if (v.major > 10)
    return fail(ExitCode::unavailable,
                "QEMU {}.{} is too new for the plugin: it takes no plugins of interface version 4; 9.1 to "
                "10.x is needed",
                v.major, v.minor);
  return v;
}

Expected<QemuVersion> usable_qemu(const std::string& program) {
  auto text = output_of({.words = {program, "--version"}, .environment = {}, .directory = {}});
  if (!text) return tl::unexpected(text.error());
  return judge_qemu(parse_qemu_version(*text));
}

}  // namespace shootdown::audit
