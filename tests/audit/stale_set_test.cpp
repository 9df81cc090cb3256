// SPDX-License-Identifier: MIT
// Strategy: the indexed storage against the plain one. Random stores to one leaf table, TLBIs of every kind,
// barriers and ISBs by several CPUs are given to shadow::Shadow and to StaleSet; after each step both must hold
// the same entries for the same CPUs.
#include "audit/judge/stale_set.hpp"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>

#include "shadow/shadow.hpp"

namespace shootdown::audit {
namespace {

constexpr vmsa::Regime regime = vmsa::regime(12, 48);
constexpr unsigned cpus = 3;
constexpr unsigned pages = 6;
constexpr PhysAddr table{0x41000000};

/// One leaf table, and nothing else.
class OneTable : public shadow::TableMemory {
 public:
  std::array<Descriptor, 512> words{};
  Descriptor read(PhysAddr slot) const override {
    return slot.align_down(0x1000) == table ? words[(slot - table) / 8] : Descriptor{};
  }
  void for_each_valid(PhysAddr page, unsigned,
                      const std::function<void(unsigned, Descriptor)>& fn) const override {
    for (unsigned i = 0; page == table && i < words.size(); ++i)
      if (words[i].valid()) fn(i, words[i]);
  }
};

Place place_of(unsigned i) { return {vmsa::page_level, regime.base() + 0x1000 * i, 0}; }

using Contents = std::map<std::pair<unsigned, std::uint64_t>, std::pair<std::uint64_t, std::uint64_t>>;

Contents contents(const shadow::Shadow& shadow) {
  Contents all;
  shadow.for_each([&](const shadow::Entry& e) {
    all[{static_cast<unsigned>((e.slot - table) / 8), e.value.bits}] = {e.holders.bits,
                                                                        e.unsynchronised.bits};
  });
  return all;
}

Contents contents(const StaleSet& stale) {
  Contents all;
  stale.for_each_at(place_of(0), true, 0x1000 * pages, [&](EntryId, const StaleEntry& e) {
    all[{static_cast<unsigned>((e.slot - table) / 8), e.value.bits}] = {e.holders.bits,
                                                                        e.unsynchronised.bits};
  });
  return all;
}

vmsa::Tlbi random_tlbi(std::mt19937& random) {
  vmsa::Tlbi t{.op = vmsa::tlbi_ops[random() % vmsa::tlbi_ops.size()]};
  t.va = regime.base() + 0x1000 * (random() % pages);
  t.pages = t.op.range ? 2 << random() % 2 : 1;
  if (random() % 4 == 0) t.ttl = vmsa::Level{static_cast<int>(1 + random() % 3)};
  t.asid = static_cast<std::uint16_t>(random() % 3);
  return t;
}

TEST(StaleSet, HoldsWhatTheShadowHolds) {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    std::mt19937 random(seed);
    OneTable memory;
    shadow::Shadow shadow(regime, cpus);
    StaleSet stale(regime, regime);
    for (unsigned step = 0; step < 120; ++step) {
      const unsigned cpu = random() % cpus;
      const unsigned i = random() % pages;
      switch (random() % 6) {
        case 0:
        case 1: {
          const Descriptor old = memory.words[i];
          const Descriptor now = random() % 2
                                     ? Descriptor{}
                                     : vmsa::make_leaf(regime, vmsa::page_level,
                                                       PhysAddr(0x50000000 + 0x1000 * (random() % 3)), {});
          if (old == now) break;
          memory.words[i] = now;
          shadow.store_linked(memory, place_of(i), table + 8 * i, old, now);
          stale.add(place_of(i), true, table + 8 * i, old, shadow.cpus(), {});
          stale.make_current(place_of(i), true, table + 8 * i, now);
          break;
        }
        case 2:
        case 3: {
          const vmsa::Tlbi t = random_tlbi(random);
          shadow.tlbi(memory, table, cpu, t);
          stale.tlbi(
              {.cpu = static_cast<std::uint8_t>(cpu)}, shadow.cpus(), t,
              [](const StaleEntry&) { return true; }, [](const StaleEntry&) { return false; });
          break;
        }
        case 4: {
          const auto kind = static_cast<machine::Dsb>(random() % 4);
          shadow.dsb(cpu, kind);
          stale.dsb({.cpu = static_cast<std::uint8_t>(cpu)}, kind);
          break;
        }
        default: shadow.isb(cpu); stale.isb(cpu);
      }
      ASSERT_EQ(contents(shadow), contents(stale)) << "seed " << seed << ", step " << step;
      ASSERT_EQ(shadow.size(), stale.size());
    }
  }
}

TEST(StaleSet, FindsWhatLeadsIntoAPage) {
  StaleSet stale(regime, regime);
  const auto value = vmsa::make_leaf(regime, vmsa::pmd_level, PhysAddr(0x50000000), {});
  stale.add({vmsa::pmd_level, regime.base(), 0}, true, table, value, CpuSet::first(cpus), {});
  unsigned found = 0;
  stale.for_each_leaf_into(PhysAddr(0x50003000), 0x1000, [&](EntryId, const StaleEntry&) { ++found; });
  EXPECT_EQ(found, 1u) << "a block covers each of its pages";
  stale.for_each_leaf_into(PhysAddr(0x50200000), 0x1000, [&](EntryId, const StaleEntry&) { ++found; });
  EXPECT_EQ(found, 1u);
}

}  // namespace
}  // namespace shootdown::audit
