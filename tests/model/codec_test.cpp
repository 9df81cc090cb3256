// SPDX-License-Identifier: MIT
// Nothing that a world holds can be forgotten: whatever is changed in it changes its words, and comes back from them.
#include <gtest/gtest.h>

#include <boost/pfr.hpp>
#include <set>

#include "machine/model/codec.hpp"
#include "tests/negative/small_world.hpp"

namespace shootdown::model {
namespace {

using shadow::CpuSet;
using W = SmallWorld;

// A new field must be listed in `fields`, in codec.cpp or not at all: these counts are a reminder to look there.
static_assert(boost::pfr::tuple_size_v<Cpu> == 11);
static_assert(sizeof(shadow::Entry) ==
              sizeof(shadow::Held) + 4 * sizeof(CpuSet) + 2 * sizeof(std::vector<shadow::Doom>));

std::vector<Words> words(const World& w) {
  std::vector<Words> all;
  for (const Part part : parts) encode(part, w, all.emplace_back());
  return all;
}

/// A world with something of everything in it.
World full_world() {
  World w = W(4).setup.world;
  w.memory.write(W::spare, Descriptor{0x403});
  shadow::Shadow& s = w.shadow;
  const std::uint8_t space = s.space_of(W::spare, 3);
  s.install(1, space);
  s.install(1, 0);
  const vmsa::Tlbi all{.op = vmsa::vmalle1is};
  s.set_hardware({.access_flag = true, .repeat_tlbi = true});
  s.store_linked(w.memory, {vmsa::page_level, W::at(0)}, W::slot(0), W::leaf(0), {});
  s.dsb(0, machine::Dsb::ish);
  s.tlbi(w.memory, 0, all);
  s.dsb(0, machine::Dsb::ish);
  s.store_linked(w.memory, {vmsa::page_level, W::at(1)}, W::slot(1), W::leaf(1), {});
  s.dsb(2, machine::Dsb::nsh);
  s.dsb(0, machine::Dsb::ishst);
  s.tlbi(w.memory, 0, all);
  Cpu& c = w.cpus[1];
  c.buffer = {
      {.kind = Buffered::Kind::store, .releases = true, .own = 3, .was = 17, .slot = W::slot(2), .value = 5},
      {.kind = Buffered::Kind::fence},
      {.kind = Buffered::Kind::drop_lock, .number = 1}};
  c.early = {{W::slot(3), 7, W::pmd}};
  c.deferred = {1, 2};
  c.unsynchronised = {{W::slot(1), true}};
  c.grace = CpuSet::one(2);
  w.memblock = {W::one(3)};
  w.flags = {{W::slot(1), true, CpuSet::one(3)}};
  w.callbacks = {{9, 2, CpuSet::one(1)}};
  w.locks[1] = {2, 4};
  return w;
}

/// Calls `fn` for each number inside an object, whatever its type.
struct EachNumber {
  std::function<void(std::uint64_t (*)(void*), void (*)(void*, std::uint64_t), void*, bool is_flag)> fn;

  template <typename T>
  requires std::is_integral_v<T> || std::is_enum_v<T>
  void operator()(T& v) const {
    fn([](void* p) { return static_cast<std::uint64_t>(*static_cast<T*>(p)); },
       [](void* p, std::uint64_t x) { *static_cast<T*>(p) = static_cast<T>(x); }, &v,
       std::is_same_v<T, bool>);
  }
  template <typename Space>
  void operator()(vmsa::Address<Space>& a) const {
    (*this)(a.value);
  }
  template <typename T>
  void operator()(std::vector<T>& all) const {
    for (T& x : all) (*this)(x);
  }
  template <typename T, std::size_t n>
  void operator()(std::array<T, n>& all) const {
    for (T& x : all) (*this)(x);
  }
  void operator()(shadow::Entry& e) const {
    (*this)(static_cast<shadow::Held&>(e));
    for (CpuSet* set : {&e.holders, &e.unsynchronised, &e.ordered, &e.ordered_here}) (*this)(*set);
    (*this)(e.dooms);
    (*this)(e.flights);
  }
  void operator()(Memory&) const {}
  template <typename T>
  requires std::is_aggregate_v<T>
  void operator()(T& object) const {
    boost::pfr::for_each_field(object, [&](auto& field) { (*this)(field); });
  }
};

TEST(Codec, EveryNumberOfAWorldIsInItsWordsAndComesBack) {
  World w = full_world();
  const auto before = words(w);
  std::set<std::vector<Words>> seen{before};
  unsigned numbers = 0;
  auto visit = [&](auto get, auto set, void* at, bool is_flag) {
    const std::uint64_t old = get(at);
    set(at, is_flag ? !old : old ^ 1);
    EXPECT_TRUE(seen.insert(words(w)).second)
        << "number " << numbers << " is not in the words, or hides another";
    const std::uint64_t changed = get(at);
    const auto changed_words = words(w);
    World again = W(4).setup.world;
    for (const Part part : parts) decode(part, changed_words[static_cast<std::size_t>(part)], again);
    EXPECT_EQ(words(again), changed_words) << "number " << numbers;
    set(at, old);
    (void)changed;
    ++numbers;
  };
  for (const Part part : parts) fields(part, w, EachNumber{visit});
  EXPECT_GT(numbers, 150u);
  EXPECT_EQ(words(w), before) << "all put back";
}

TEST(Codec, MemoryIsAll) {
  World w = full_world();
  const auto before = words(w);
  w.memory.write(W::spare + 8, Descriptor{1});
  EXPECT_NE(words(w), before);
  World again = W(4).setup.world;
  for (const Part part : parts) decode(part, words(w)[static_cast<std::size_t>(part)], again);
  EXPECT_EQ(again.memory, w.memory);
}

TEST(Codec, AWorldComesBackAsItWas) {
  const World w = full_world();
  World again = W(4).setup.world;
  const auto all = words(w);
  for (const Part part : parts) decode(part, all[static_cast<std::size_t>(part)], again);
  EXPECT_EQ(again.shadow, w.shadow);
  EXPECT_EQ(again.cpus, w.cpus);
  EXPECT_EQ(again.locks, w.locks);
  EXPECT_EQ(again.memblock, w.memblock);
  EXPECT_EQ(again.flags, w.flags);
  EXPECT_EQ(again.callbacks, w.callbacks);
}

}  // namespace
}  // namespace shootdown::model
