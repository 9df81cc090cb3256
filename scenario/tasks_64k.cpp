// SPDX-License-Identifier: MIT
// The experiments' tasks with 64K pages.
#include "scenario/tasks.hpp"

namespace shootdown::scenario {

TaskSet tasks_64k(const HotRemoveConfig& c, const Arrangement& a) {
  switch (c.real.va_bits) {
    case 42: return detail::tasks_of<vmsa::regime(16, 42)>(c, a);
    case 48: return detail::tasks_of<vmsa::regime(16, 48)>(c, a);
    default: return detail::tasks_of<vmsa::regime(16, 52)>(c, a);
  }
}

}  // namespace shootdown::scenario
