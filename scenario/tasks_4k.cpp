// SPDX-License-Identifier: MIT
// The experiments' tasks with 4K pages.
#include "scenario/tasks.hpp"

namespace shootdown::scenario {

TaskSet tasks_4k(const HotRemoveConfig& c, const Arrangement& a) {
  switch (c.real.va_bits) {
    case 39: return detail::tasks_of<vmsa::regime(12, 39)>(c, a);
    case 48: return detail::tasks_of<vmsa::regime(12, 48)>(c, a);
    default: return detail::tasks_of<vmsa::regime(12, 52)>(c, a);
  }
}

}  // namespace shootdown::scenario
