// SPDX-License-Identifier: MIT
// Every field of a world is part of its encoding: change any one, and the words differ and come back as they were.
#include <gtest/gtest.h>
#include <boost/pfr.hpp>

#include "machine/model/codec.hpp"
#include "tests/negative/small_world.hpp"

namespace shootdown::model {
namespace {

/// A world in which every list has an element, every element of it something in it.
World full_world() {
  SmallWorld small(3);
  World w = std::move(small.setup.world);
  const std::uint8_t space = w.shadow.space_of(SmallWorld::spare, 3);
  w.shadow.install(0, space);
  shadow::Shadow::fields(w.shadow, [](auto& field) {
    using Field = std::remove_reference_t<decltype(field)>;
    if constexpr (std::is_same_v<Field, std::vector<shadow::Entry>>)
      field.push_back({{{{}, VirtAddr(0x1000), {}}, PhysAddr(8), Descriptor{3}},
                       {.bits = 3},
                       {.bits = 1},
                       {.bits = 2},
                       {.bits = 4},
                       {{1, true, {.bits = 1}}},
                       {{2, false, {.bits = 2}}}});
    else if constexpr (std::is_same_v<Field, std::vector<shadow::Space>>)
      for (shadow::Space& s : field) s.dooms = {{1, false, {.bits = 5}}};
    else
      field = {{1, PhysAddr(16), {.bits = 1}}};
  });
  for (Cpu& c : w.cpus) {
    c.buffer = {{.slot = PhysAddr(8)}};
    c.early = {{PhysAddr(8), 1, PhysAddr(16)}};
    c.deferred = {0x1000};
    c.unsynchronised = {{PhysAddr(24), false}};
  }
  w.memblock = {SmallWorld::one(0)};
  w.flags = {{PhysAddr(8), false, {.bits = 1}}};
  w.callbacks = {{0x2000, 1, {.bits = 2}}};
  return w;
}

template <typename T>
concept Scalar = std::is_integral_v<T> || std::is_enum_v<T>;

/// Calls `fn(change, back)` for each number in an object, however deep: two functions that flip a bit of it.
template <typename Fn>
struct EachNumber {
  Fn fn;

  template <Scalar T>
  void operator()(T& v) {
    const T before = v;
    const auto bits = static_cast<std::uint64_t>(before);
    fn([&] { v = static_cast<T>(bits ^ 1); }, [&] { v = before; });
  }
  template <typename Space>
  void operator()(vmsa::Address<Space>& a) {
    (*this)(a.value);
  }
  void operator()(shadow::CpuSet& cpus) { (*this)(cpus.bits); }
  void operator()(shadow::Held& h) { each(h.place.level, h.place.va, h.place.context, h.slot, h.value); }
  void operator()(shadow::Entry& e) {
    (*this)(static_cast<shadow::Held&>(e));
    each(e.holders, e.unsynchronised, e.ordered, e.ordered_here, e.dooms, e.flights);
    static_assert(
        sizeof(shadow::Entry) == sizeof(shadow::Held) + 4 * sizeof(shadow::CpuSet) + 2 * sizeof(e.dooms),
        "a new field? say it here");
  }
  void operator()(Memory& m) {
    const Memory before = m;
    const PhysAddr slot(m.words().front().address);
    fn([&] { m.write(slot, Descriptor{before.read(slot).bits ^ 2}); }, [&] { m = before; });
    fn([&] { m.write(slot + 0x9000, Descriptor{1}); }, [&] { m = before; });
  }
  template <typename T>
  void operator()(std::vector<T>& all) {
    ASSERT_FALSE(all.empty()) << "full_world() leaves it out";
    for (T& x : all) (*this)(x);
    fn([&] { all.push_back(all.back()); }, [&] { all.pop_back(); });
  }
  template <typename T, std::size_t n>
  void operator()(std::array<T, n>& all) {
    for (T& x : all) (*this)(x);
  }
  template <typename T>
  requires std::is_aggregate_v<T>
  void operator()(T& object) {
    boost::pfr::for_each_field(object, [&](auto& field) { (*this)(field); });
  }
  template <typename... T>
  void each(T&... field) {
    ((*this)(field), ...);
  }
};
template <typename Fn>
EachNumber(Fn) -> EachNumber<Fn>;

std::array<Words, parts.size()> encoded(const World& w) {
  std::array<Words, parts.size()> all;
  for (std::size_t i = 0; i < parts.size(); ++i) encode(parts[i], w, all[i]);
  return all;
}

bool same(const World& a, const World& b) {
  auto usage = [](const World& w) {
    std::vector<PageUsage> all;
    for (const Page& p : w.pages) all.push_back(p.usage);
    return all;
  };
  return a.memory == b.memory && a.shadow == b.shadow && a.cpus == b.cpus && usage(a) == usage(b) &&
         a.locks == b.locks && a.memblock == b.memblock && a.flags == b.flags && a.callbacks == b.callbacks;
}

TEST(Codec, EveryFieldChangesTheWordsAndComesBack) {
  World w = full_world();
  const World start = w;
  const auto before = encoded(w);
  unsigned numbers = 0;
  EachNumber look{[&](auto&& change, auto&& back) {
    change();
    ++numbers;
    EXPECT_FALSE(same(w, start)) << "the " << numbers << "th number";
    const auto after = encoded(w);
    EXPECT_NE(after, before) << "the " << numbers << "th number";
    World again = start;
    for (std::size_t i = 0; i < parts.size(); ++i) decode(parts[i], after[i], again);
    EXPECT_TRUE(same(again, w)) << "the " << numbers << "th number";
    back();
  }};
  for (const Part part : parts) fields(part, w, look);
  EXPECT_TRUE(same(w, start));
  EXPECT_GT(numbers, 250u);
}

}  // namespace
}  // namespace shootdown::model
