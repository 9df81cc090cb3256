// SPDX-License-Identifier: MIT
#include "machine/model/world.hpp"

#include <algorithm>

namespace shootdown::model {
namespace {

struct Before {
  bool operator()(const Memory::Word& w, std::uint64_t address) const { return w.address < address; }
};

}  // namespace

Descriptor Memory::read(PhysAddr slot) const {
  auto it = std::lower_bound(words_.begin(), words_.end(), slot.value, Before{});
  return Descriptor{it != words_.end() && it->address == slot.value ? it->value : 0};
}

void Memory::write(PhysAddr slot, Descriptor d) {
  auto it = std::lower_bound(words_.begin(), words_.end(), slot.value, Before{});
  const bool present = it != words_.end() && it->address == slot.value;
  changed_ = true;
  if (present && d.none()) {
    words_.erase(it);
  } else if (present) {
    it->value = d.bits;
  } else if (!d.none()) {
    words_.insert(it, {slot.value, d.bits});
  }
}

void Memory::for_each_valid(PhysAddr page, unsigned count,
                            const std::function<void(unsigned, Descriptor)>& fn) const {
  const std::uint64_t end = page.value + count * sizeof(Descriptor);
  for (auto it = std::lower_bound(words_.begin(), words_.end(), page.value, Before{});
       it != words_.end() && it->address < end; ++it)
    if (Descriptor{it->value}.valid())
      fn(static_cast<unsigned>((it->address - page.value) / sizeof(Descriptor)), Descriptor{it->value});
}

std::vector<PhysAddr> Memory::words_in(PhysAddr page) const {
  std::vector<PhysAddr> all;
  const std::uint64_t end = page.value + (std::uint64_t{1} << page_shift_);
  for (auto it = std::lower_bound(words_.begin(), words_.end(), page.value, Before{});
       it != words_.end() && it->address < end; ++it)
    all.push_back(PhysAddr(it->address));
  return all;
}

Page* World::page_at(PhysAddr pa) {
  auto it =
      std::upper_bound(pages.begin(), pages.end(), pa, [](PhysAddr a, const Page& p) { return a < p.start; });
  if (it == pages.begin()) return nullptr;
  Page& page = *std::prev(it);
  return page.range(shadow.regime().page_shift).contains(pa) ? &page : nullptr;
}

Descriptor World::read(unsigned cpu, PhysAddr slot) const {
  const auto& buffer = buffers[cpu];
  for (auto it = buffer.rbegin(); it != buffer.rend(); ++it)
    if (it->slot == slot) return it->value;
  return memory.read(slot);
}

PhysAddr World::unpublished_slot(unsigned cpu, PhysAddr root, VirtAddr va) const {
  if (unsynchronised[cpu].empty() && buffers[cpu].empty()) return {};
  const auto& r = shadow.regime();
  PhysAddr table = root;
  for (vmsa::Level level = r.root_level();; level = level.next()) {
    const PhysAddr slot = vmsa::slot_address(r, table, level, va);
    const Descriptor d = read(cpu, slot);
    if (!d.valid()) return {};
    const bool buffered = std::ranges::find(buffers[cpu], slot, &BufferedStore::slot) != buffers[cpu].end();
    if (buffered || std::ranges::binary_search(unsynchronised[cpu], slot)) return slot;
    if (!d.is_table(level)) return {};
    table = vmsa::output_address(r, level, d);
  }
}

}  // namespace shootdown::model
