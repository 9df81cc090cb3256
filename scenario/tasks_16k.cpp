// SPDX-License-Identifier: MIT
// The experiments' tasks with 16K pages.
#include "scenario/tasks.hpp"

namespace shootdown::scenario {

TaskSet tasks_16k(const HotRemoveConfig& c, const Arrangement& a) {
  switch (c.real.va_bits) {
    case 36: return detail::tasks_of<vmsa::regime(14, 36)>(c, a);
    case 47: return detail::tasks_of<vmsa::regime(14, 47)>(c, a);
    case 48: return detail::tasks_of<vmsa::regime(14, 48)>(c, a);
    default: return detail::tasks_of<vmsa::regime(14, 52)>(c, a);
  }
}

}  // namespace shootdown::scenario
