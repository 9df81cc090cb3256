// SPDX-License-Identifier: MIT
// Offsets of structure members out of the type data that a kernel image carries (CONFIG_DEBUG_INFO_BTF). Reads no
// more of it than an audit needs.
#pragma once

#include <cstdint>
#include <optional>

#include "audit/kernel/image.hpp"

namespace shootdown::audit {

/// Where a task_struct says who the thread is, in bytes from its start.
struct TaskLayout {
  std::uint32_t pid = 0;
  std::uint32_t comm = 0;

  friend bool operator==(const TaskLayout&, const TaskLayout&) = default;
};

/// Nothing where the image carries no type data, or none that says it.
std::optional<TaskLayout> read_task_layout(const KernelImage& image);

}  // namespace shootdown::audit
