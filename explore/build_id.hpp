// SPDX-License-Identifier: MIT
// The identity of the sources that decide what the model does, as a replay token records it.
// The value is computed at build time (cmake/write_build_id.cmake); nothing else belongs here.
#pragma once

#include <string_view>

namespace shootdown {

/// Sixteen hex digits over names and contents of all sources in vmsa, mm, machine, shadow, explore and
/// scenario. Equal for equal sources, whatever the compiler, the flags or the place of the checkout.
std::string_view build_fingerprint() noexcept;

}  // namespace shootdown
