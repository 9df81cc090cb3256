// SPDX-License-Identifier: MIT
// Strategy: any events survive encoding, chunk after chunk; any bytes are decoded without harm; each way in
// which a chunk can be damaged is refused.
#include "audit/trace/codec.hpp"

#include <gtest/gtest.h>

#include <random>

namespace shootdown::audit {
namespace {

Event random_event(std::mt19937_64& random) {
  Event e;
  e.kind = static_cast<EventKind>(1 + random() % (event_kind_count - 1));
  e.cpu = static_cast<std::uint8_t>(random() % 8);
  e.op = static_cast<std::uint8_t>(random() % 20);
  e.stack = static_cast<std::uint32_t>(random() % 1000);
  const EventShape has = shape(e.kind);
  // Small steps and wild jumps alike.
  if (has.has_a) e.a = random() % 2 ? random() : 0x40000000 + random() % 4096 * 8;
  if (has.has_b) e.b = random() % 2 ? random() : 0;
  return e;
}

TEST(EventCodec, EventsSurviveTheRoundTrip) {
  std::mt19937_64 random(1);
  EventEncoder encoder;
  for (int chunk = 0; chunk < 20; ++chunk) {
    std::vector<Event> events(random() % 500);
    for (Event& e : events) encoder.put(e = random_event(random));
    EXPECT_EQ(encoder.event_count(), events.size());
    EventDecoder decoder(encoder.bytes());
    for (const Event& expected : events) {
      Event e;
      ASSERT_TRUE(decoder.next(e));
      ASSERT_EQ(e, expected);
    }
    Event rest;
    EXPECT_FALSE(decoder.next(rest));
    EXPECT_FALSE(decoder.damaged());
    encoder.clear();
  }
}

TEST(EventCodec, ARunOfDescriptorStoresTakesFewBytes) {
  EventEncoder encoder;
  for (std::uint64_t i = 0; i < 512; ++i)
    encoder.put({.kind = EventKind::store, .cpu = 1, .op = 0, .stack = 7, .a = 0x40001000 + 8 * i, .b = 0});
  EXPECT_LT(encoder.byte_count(), 512u * 4);
}

TEST(EventCodec, EveryTruncationIsEitherShorterOrDamaged) {
  std::mt19937_64 random(2);
  EventEncoder encoder;
  for (int i = 0; i < 50; ++i) encoder.put(random_event(random));
  const auto bytes = encoder.bytes();
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EventDecoder decoder(bytes.first(n));
    unsigned count = 0;
    for (Event e; decoder.next(e);) ++count;
    EXPECT_LT(count, 50u);
  }
}

TEST(EventCodec, DamageIsRefused) {
  auto refused = [](std::vector<std::uint8_t> bytes) {
    EventDecoder decoder(bytes);
    Event e;
    return !decoder.next(e) && decoder.damaged();
  };
  EXPECT_TRUE(refused({0})) << "kind 0";
  EXPECT_TRUE(refused({static_cast<std::uint8_t>(EventKind::count_)})) << "a kind that is none";
  EXPECT_TRUE(refused({static_cast<std::uint8_t>(EventKind::isb) | codec::cpu_differs, 64})) << "CPU 64";
  EXPECT_TRUE(refused({static_cast<std::uint8_t>(EventKind::ttbr0), 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                       0x80, 0x80, 0x80, 1}))
      << "a number of 71 bits";
}

}  // namespace
}  // namespace shootdown::audit
