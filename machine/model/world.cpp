// SPDX-License-Identifier: MIT
#include "machine/model/world.hpp"

#include <algorithm>

namespace shootdown::model {

Page* World::page_at(PhysAddr pa) {
  auto it =
      std::upper_bound(pages.begin(), pages.end(), pa, [](PhysAddr a, const Page& p) { return a < p.start; });
  if (it == pages.begin()) return nullptr;
  Page& page = *std::prev(it);
  return page.range(shadow.regime().page_shift).contains(pa) ? &page : nullptr;
}

const Buffered* World::own_store(unsigned cpu, PhysAddr slot) const {
  const auto& buffer = cpus[cpu].buffer;
  for (auto it = buffer.rbegin(); it != buffer.rend(); ++it)
    if (it->kind == Buffered::Kind::store && it->slot == slot) return &*it;
  return nullptr;
}

Descriptor World::read(unsigned cpu, PhysAddr slot) const {
  const Buffered* own = own_store(cpu, slot);
  return own != nullptr ? Descriptor{own->value} : memory.read(slot);
}

}  // namespace shootdown::model
