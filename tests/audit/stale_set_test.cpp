// SPDX-License-Identifier: MIT
// Strategy: the indexed storage against the plain one. Random stores to two leaf tables, which are linked and
// unlinked, TLBIs of every kind, barriers and ISBs by several CPUs are given to shadow::Shadow and to StaleSet; after
// each step both must hold the same entries for the same CPUs.
#include "audit/judge/stale_set.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "shadow/shadow.hpp"

namespace shootdown::audit {
namespace {

constexpr vmsa::Regime regime = vmsa::regime(12, 48);
constexpr unsigned cpus = 3;
constexpr unsigned tables = 2;
constexpr unsigned pages = 3;  ///< a table
constexpr PhysAddr root{0x40000000};
constexpr PhysAddr below_root{0x40001000};
constexpr PhysAddr above{0x41000000};  ///< the table above the two

constexpr PhysAddr table(unsigned t) { return above + 0x1000 * (t + 1); }
constexpr PhysAddr slot(unsigned t, unsigned i) { return table(t) + 8 * i; }
constexpr unsigned table_of(PhysAddr slot) { return static_cast<unsigned>((slot - above) / 0x1000) - 1; }

/// A level 2 table and two tables of pages below it.
class TwoTables : public shadow::TableMemory {
 public:
  std::map<PhysAddr, Descriptor> words;
  Descriptor read(PhysAddr slot) const override {
    const auto at = words.find(slot);
    return at == words.end() ? Descriptor{} : at->second;
  }
  void for_each_valid(PhysAddr page, unsigned,
                      shadow::FunctionRef<void(unsigned, Descriptor)> fn) const override {
    for (auto at = words.lower_bound(page); at != words.end() && at->first < page + 0x1000; ++at)
      if (at->second.valid()) fn(static_cast<unsigned>((at->first - page) / 8), at->second);
  }
};

Place place_of(unsigned t) { return {vmsa::pmd_level, regime.base() + 0x200000 * t}; }
Place place_of(unsigned t, unsigned i) {
  return {vmsa::page_level, regime.base() + 0x200000 * t + 0x1000 * i};
}

using Contents = std::map<std::pair<std::uint64_t, std::uint64_t>, std::pair<std::uint64_t, std::uint64_t>>;

Contents contents(const shadow::Shadow& shadow) {
  Contents all;
  shadow.for_each([&](const shadow::Entry& e) {
    all[{e.slot.value, e.value.bits}] = {e.holders.bits, e.unsynchronised.bits};
  });
  return all;
}

Contents contents(const StaleSet& stale) {
  Contents all;
  stale.for_each([&](const StaleEntry& e) {
    all[{e.slot.value, e.value.bits}] = {e.holders.bits, e.unsynchronised.bits};
  });
  return all;
}

/// One machine's memory with both ways to keep what is stale in it.
struct Both {
  TwoTables memory;
  shadow::Shadow shadow{regime, cpus, root};
  StaleSet stale{regime, regime};

  Both() {
    const vmsa::Level top = regime.root_level();
    memory.words[vmsa::slot_address(regime, root, top, regime.base())] = vmsa::make_table(regime, below_root);
    memory.words[vmsa::slot_address(regime, below_root, top.next(), regime.base())] =
        vmsa::make_table(regime, above);
  }

  bool linked(unsigned t) const { return memory.read(slot(t)).valid(); }
  static PhysAddr slot(unsigned t) { return above + 8 * t; }

  /// What stands for a whole contiguous group goes stale at each of its addresses that memory has otherwise. Whoever
  /// feeds the set says so; the audit's judge does not yet.
  void goes_stale(const Place& place, PhysAddr slot, Descriptor old) {
    stale.add(place, true, slot, old, shadow.cpus(), {});
    shadow::for_each_group_member(regime, {place, slot, old}, [&](const shadow::Held& other) {
      if (memory.read(other.slot) != other.value)
        stale.add(other.place, true, other.slot, other.value, shadow.cpus(), {});
    });
  }

  /// A store to a slot that the current tables lead to.
  void store(const Place& place, PhysAddr slot, Descriptor now) {
    const Descriptor old = memory.read(slot);
    if (old == now) return;
    memory.words[slot] = now;
    shadow.store_linked(memory, place, slot, old, now);
    goes_stale(place, slot, old);
    stale.make_current(place, true, slot, now);
  }
  /// Links a table or unlinks it, with all that it holds.
  void toggle(unsigned t) {
    const bool link = !linked(t);
    store(place_of(t), slot(t), link ? vmsa::make_table(regime, table(t)) : Descriptor{});
    for (unsigned i = 0; i < pages; ++i) {
      const Descriptor d = memory.read(audit::slot(t, i));
      if (!d.valid()) continue;
      if (link)
        stale.make_current(place_of(t, i), true, audit::slot(t, i), d);
      else
        goes_stale(place_of(t, i), audit::slot(t, i), d);
    }
  }
  void tlbi(unsigned cpu, const vmsa::Tlbi& t) {
    // Whether a DSB has ordered the changes before it is the judge's to know; here one always has.
    shadow.dsb(cpu, machine::Dsb::ishst);
    shadow.tlbi(memory, cpu, t);
    stale.tlbi(
        {.cpu = static_cast<std::uint8_t>(cpu)}, shadow.cpus(), t, [](const StaleEntry&) { return true; },
        [&](const StaleEntry& e) {
          const bool is_linked = e.place.level == vmsa::page_level && linked(table_of(e.slot));
          return is_linked && shadow::group_refills(regime, memory, e);
        },
        [&](const StaleEntry& through, const StaleEntry& e) {
          const bool below =
              vmsa::output_address(regime, through.place.level, through.value) == e.slot.align_down(0x1000);
          return below && (memory.read(e.slot) == e.value || shadow::group_refills(regime, memory, e));
        });
  }
};

vmsa::Tlbi random_tlbi(std::mt19937& random) {
  vmsa::Tlbi t{.op = vmsa::tlbi_ops[random() % vmsa::tlbi_ops.size()]};
  t.va = place_of(random() % tables, random() % pages).va;
  t.pages = t.op.range ? 2 << random() % 2 : 1;
  if (random() % 4 == 0) t.ttl = vmsa::Level{static_cast<int>(1 + random() % 3)};
  t.asid = static_cast<std::uint16_t>(random() % 3);
  return t;
}

/// A page, which one in three times is a member of a contiguous group, mostly in its place there.
Descriptor random_leaf(std::mt19937& random, unsigned i) {
  vmsa::Attributes attributes;
  attributes.contiguous = random() % 3 == 0;
  attributes.read_only = random() % 2 == 0;
  const unsigned page = attributes.contiguous && random() % 4 != 0 ? i : random() % 3;
  return vmsa::make_leaf(regime, vmsa::page_level, PhysAddr(0x50000000 + 0x1000 * page), attributes);
}

TEST(StaleSet, HoldsWhatTheShadowHolds) {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    std::mt19937 random(seed);
    Both both;
    for (unsigned t = 0; t < tables; ++t) both.toggle(t);
    for (unsigned step = 0; step < 150; ++step) {
      const unsigned cpu = random() % cpus;
      const unsigned t = random() % tables;
      const unsigned i = random() % pages;
      switch (random() % 7) {
        case 0:
        case 1:
          if (!both.linked(t)) break;
          both.store(place_of(t, i), slot(t, i), random() % 2 ? Descriptor{} : random_leaf(random, i));
          break;
        case 2:
        case 3: both.tlbi(cpu, random_tlbi(random)); break;
        case 4: {
          const auto kind = static_cast<machine::Dsb>(random() % 4);
          both.shadow.dsb(cpu, kind);
          both.stale.dsb({.cpu = static_cast<std::uint8_t>(cpu)}, kind);
          break;
        }
        case 5:
          if (random() % 3 == 0) both.toggle(t);
          break;
        default: both.shadow.isb(cpu); both.stale.isb(cpu);
      }
      ASSERT_EQ(contents(both.shadow), contents(both.stale)) << "seed " << seed << ", step " << step;
      ASSERT_EQ(both.shadow.size(), both.stale.size());
    }
  }
}

/// A leaf-only flush of an unlinked table's pages leaves the way back open.
TEST(StaleSet, ALeafComesBackThroughAStaleTable) {
  Both both;
  both.toggle(0);
  both.store(place_of(0, 0), slot(0, 0), vmsa::make_leaf(regime, vmsa::page_level, PhysAddr(0x50000000), {}));
  both.toggle(0);
  both.tlbi(0, {.op = vmsa::vaale1is, .va = place_of(0, 0).va});
  both.stale.dsb({.cpu = 0}, machine::Dsb::ish);
  both.stale.isb(0);
  EXPECT_EQ(both.stale.size(), 2u);
  both.tlbi(0, {.op = vmsa::vaae1is, .va = place_of(0, 0).va});
  both.stale.dsb({.cpu = 0}, machine::Dsb::ish);
  both.stale.isb(0);
  EXPECT_EQ(both.stale.size(), 0u);
}

TEST(StaleSet, FindsWhatLeadsIntoAPage) {
  StaleSet stale(regime, regime);
  const auto value = vmsa::make_leaf(regime, vmsa::pmd_level, PhysAddr(0x50000000), {});
  stale.add({vmsa::pmd_level, regime.base(), 0}, true, above, value, CpuSet::first(cpus), {});
  unsigned found = 0;
  stale.for_each_leaf_into(PhysAddr(0x50003000), 0x1000, [&](EntryId, const StaleEntry&) { ++found; });
  EXPECT_EQ(found, 1u) << "a block covers each of its pages";
  stale.for_each_leaf_into(PhysAddr(0x50200000), 0x1000, [&](EntryId, const StaleEntry&) { ++found; });
  EXPECT_EQ(found, 1u);
}

}  // namespace
}  // namespace shootdown::audit
