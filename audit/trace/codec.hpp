// SPDX-License-Identifier: MIT
// Events to bytes and back: a few bytes each, as differences to the last event of the same kind. A chunk is
// decoded on its own; the state of both sides starts anew with each. No I/O, no allocation beyond the buffer.
//
// An event: one byte (kind, and which of CPU, op and stack differ from the last event's), then what differs,
// then a and b as zigzag differences, 7 bits a byte, the low ones first.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "audit/trace/event.hpp"

namespace shootdown::audit {

namespace codec {

inline constexpr std::uint8_t kind_mask = 0x1f;
inline constexpr std::uint8_t cpu_differs = 0x20;
inline constexpr std::uint8_t stack_differs = 0x40;
inline constexpr std::uint8_t op_differs = 0x80;
static_assert(event_kind_count <= kind_mask + 1);

struct LastOfKind {
  std::uint8_t op = 0;
  std::uint32_t stack = 0;
  std::uint64_t a = 0;
  std::uint64_t b = 0;
};
struct State {
  std::uint8_t cpu = 0;
  std::array<LastOfKind, event_kind_count> last{};
};

constexpr std::uint64_t zigzag(std::uint64_t difference) {
  return difference << 1 ^ (difference >> 63 ? ~std::uint64_t{0} : 0);
}
constexpr std::uint64_t unzigzag(std::uint64_t z) { return z >> 1 ^ (z & 1 ? ~std::uint64_t{0} : 0); }

}  // namespace codec

class EventEncoder {
 public:
  void put(const Event& e) {
    using namespace codec;
    LastOfKind& last = state_.last[static_cast<std::size_t>(e.kind)];
    const std::size_t head = bytes_.size();
    auto flags = static_cast<std::uint8_t>(e.kind);
    bytes_.push_back(0);
    if (e.cpu != state_.cpu) flags |= cpu_differs, bytes_.push_back(state_.cpu = e.cpu);
    if (e.op != last.op) flags |= op_differs, bytes_.push_back(last.op = e.op);
    if (e.stack != last.stack)
      flags |= stack_differs, put_difference(last.stack, e.stack), last.stack = e.stack;
    bytes_[head] = flags;
    const EventShape has = shape(e.kind);
    if (has.has_a) put_difference(last.a, e.a), last.a = e.a;
    if (has.has_b) put_difference(last.b, e.b), last.b = e.b;
    ++count_;
  }

  std::size_t byte_count() const { return bytes_.size(); }
  std::uint32_t event_count() const { return count_; }
  std::span<const std::uint8_t> bytes() const { return bytes_; }
  /// Starts the next chunk.
  void clear() {
    bytes_.clear();
    state_ = {};
    count_ = 0;
  }

 private:
  void put_difference(std::uint64_t from, std::uint64_t to) {
    std::uint64_t z = codec::zigzag(to - from);
    for (; z >= 0x80; z >>= 7) bytes_.push_back(static_cast<std::uint8_t>(z | 0x80));
    bytes_.push_back(static_cast<std::uint8_t>(z));
  }

  codec::State state_;
  std::vector<std::uint8_t> bytes_;
  std::uint32_t count_ = 0;
};

class EventDecoder {
 public:
  explicit EventDecoder(std::span<const std::uint8_t> chunk) : p_(chunk.data()), end_(p_ + chunk.size()) {}

  /// False at the end of the chunk, or where it is damaged (`damaged()` tells which).
  bool next(Event& e) {
    using namespace codec;
    if (p_ == end_ || damaged_) return false;
    const std::uint8_t flags = *p_++;
    const auto kind = static_cast<EventKind>(flags & kind_mask);
    if (kind == EventKind::end || kind >= EventKind::count_) return refuse();
    LastOfKind& last = state_.last[static_cast<std::size_t>(kind)];
    if ((flags & cpu_differs) && !get_byte(state_.cpu)) return refuse();
    if ((flags & op_differs) && !get_byte(last.op)) return refuse();
    if (state_.cpu >= max_cpus) return refuse();
    std::uint64_t stack = last.stack;
    if ((flags & stack_differs) && !get_difference(stack)) return refuse();
    last.stack = static_cast<std::uint32_t>(stack);
    const EventShape has = shape(kind);
    if (has.has_a && !get_difference(last.a)) return refuse();
    if (has.has_b && !get_difference(last.b)) return refuse();
    e = {kind, state_.cpu, last.op, last.stack, has.has_a ? last.a : 0, has.has_b ? last.b : 0};
    return true;
  }
  bool damaged() const { return damaged_; }

 private:
  bool refuse() {
    damaged_ = true;
    return false;
  }
  bool get_byte(std::uint8_t& value) {
    if (p_ == end_) return false;
    value = *p_++;
    return true;
  }
  bool get_difference(std::uint64_t& value) {
    std::uint64_t z = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (p_ == end_) return false;
      const std::uint8_t byte = *p_++;
      z |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) {
        value += codec::unzigzag(z);
        return true;
      }
    }
    return false;
  }

  codec::State state_;
  const std::uint8_t* p_;
  const std::uint8_t* end_;
  bool damaged_ = false;
};

}  // namespace shootdown::audit
