// SPDX-License-Identifier: MIT
// What an audited guest finds on its disk: the kit's program, the kernel's module, the user's own program.
#pragma once

#include <string>

#include "audit/qemu/guest.hpp"

namespace shootdown::audit {

/// The bytes of the initramfs. Errors: `missing_input`, `unavailable` when a file cannot be read.
Expected<std::string> build_initramfs(const GuestOptions& options);

}  // namespace shootdown::audit
