// SPDX-License-Identifier: MIT
#include "audit/plugin/stack_cache.hpp"

namespace shootdown::audit::plugin {
namespace {

/// Return addresses are signed on CPUs with pointer authentication: the upper bits of a kernel address are ones.
std::uint64_t strip_signature(std::uint64_t address) { return address | 0xffffull << 48; }

std::uint64_t mix(std::uint64_t h, std::uint64_t v) {
  h = (h ^ v) * 0x9e3779b97f4a7c15ull;
  return h ^ h >> 29;
}

}  // namespace

std::uint64_t StackCache::read(const Translation& kernel, std::uint64_t va) const {
  if ((va & 7) != 0 || va >> 63 == 0) return 0;
  const auto pa = translate(ram_, kernel, va);
  return pa && ram_.contains(*pa) ? ram_.word(*pa) : 0;
}

std::uint32_t StackCache::number_of(const CodePoint& at, const Translation& kernel, unsigned cpu) {
  const Key key{at, read(kernel, at.frame), read(kernel, at.frame + 8)};
  std::uint64_t h = mix(mix(mix(mix(mix(0, at.pc), at.frame), at.link), key.saved_frame), key.saved_link);
  Slot& slot = recent_[h % recent_.size()];
  if (slot.number != 0 && slot.key.at.pc == at.pc && slot.key.at.frame == at.frame &&
      slot.key.at.link == at.link && slot.key.saved_frame == key.saved_frame &&
      slot.key.saved_link == key.saved_link)
    return slot.number;

  std::vector<std::uint64_t> frames{at.pc, strip_signature(at.link)};
  std::uint64_t frame = at.frame;
  while (frames.size() < depth_max) {
    const std::uint64_t next = read(kernel, frame);
    const std::uint64_t link = read(kernel, frame + 8);
    if (link == 0) break;
    frames.push_back(strip_signature(link));
    // The stack grows down, but an interrupt may have come in on another one.
    if (next == 0 || next == frame) break;
    frame = next;
  }
  slot = {key, intern(frames, cpu)};
  return slot.number;
}

std::uint32_t StackCache::intern(const std::vector<std::uint64_t>& frames, unsigned cpu) {
  std::uint64_t h = 0;
  for (std::uint64_t f : frames) h = mix(h, f);
  const auto [begin, end] = by_hash_.equal_range(h);
  for (auto it = begin; it != end; ++it)
    if (stacks_[it->second] == frames) return it->second;
  const auto number = static_cast<std::uint32_t>(stacks_.size());
  stacks_.push_back(frames);
  by_hash_.emplace(h, number);
  for (std::size_t depth = 0; depth < frames.size(); ++depth)
    pipe_.put({.kind = EventKind::frame,
               .cpu = static_cast<std::uint8_t>(cpu),
               .op = static_cast<std::uint8_t>(depth),
               .stack = 0,
               .a = number,
               .b = frames[depth]});
  return number;
}

}  // namespace shootdown::audit::plugin
