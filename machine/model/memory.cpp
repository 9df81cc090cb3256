// SPDX-License-Identifier: MIT
#include "machine/model/memory.hpp"

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
                            shadow::FunctionRef<void(unsigned, Descriptor)> fn) const {
  const std::uint64_t end = page.value + count * sizeof(Descriptor);
  for (auto it = std::lower_bound(words_.begin(), words_.end(), page.value, Before{});
       it != words_.end() && it->address < end; ++it)
    if (Descriptor{it->value}.valid())
      fn(static_cast<unsigned>((it->address - page.value) / sizeof(Descriptor)), Descriptor{it->value});
}

bool Memory::same(PhysAddr a, PhysAddr b, std::uint64_t bytes) const {
  const auto x = std::lower_bound(words_.begin(), words_.end(), a.value, Before{});
  const auto y = std::lower_bound(words_.begin(), words_.end(), b.value, Before{});
  return std::equal(x, std::lower_bound(x, words_.end(), a.value + bytes, Before{}), y,
                    std::lower_bound(y, words_.end(), b.value + bytes, Before{}),
                    [&](const Word& v, const Word& w) {
                      return v.address - a.value == w.address - b.value && v.value == w.value;
                    });
}

std::vector<PhysAddr> Memory::words_in(PhysAddr page) const {
  std::vector<PhysAddr> all;
  const std::uint64_t end = page.value + (std::uint64_t{1} << page_shift_);
  for (auto it = std::lower_bound(words_.begin(), words_.end(), page.value, Before{});
       it != words_.end() && it->address < end; ++it)
    all.push_back(PhysAddr(it->address));
  return all;
}

}  // namespace shootdown::model
