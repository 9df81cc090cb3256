// SPDX-License-Identifier: MIT
// The shadow against TLBs that exist: three CPUs with caches of their own fill, refill and drop entries at
// random, as late and as wilfully as the rules permit. Whatever one holds must be current or in the shadow; and
// after a flush of everything that nothing can refill, nothing may be left in it.
#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "tests/shadow/fake_tables.hpp"

namespace shootdown::shadow {
namespace {

using vmsa::page_level;
using vmsa::pmd_level;

/// An operation that was issued and has still to act on some CPUs.
struct Pending {
  unsigned issuer;
  vmsa::Tlbi op;
  CpuSet cpus;
};

class Hardware {
 public:
  explicit Hardware(unsigned seed) : random_(seed), t(vmsa::scaled(vmsa::regime(12, 39), 1)) {
    pages_.push_back({t.root, t.r.root_level()});
    for (Level level : {pmd_level, pmd_level, page_level, page_level, page_level})
      pages_.push_back({t.page(), level});
  }

  /// One random event; what it was, for a failure's message.
  const char* step() {
    switch (draw(9)) {
      case 0: return store(), "store";
      case 1: return store(), "store";
      case 2: return issue(), "TLBI";
      case 3: return barrier(), "DSB";
      case 4: return t.shadow.isb(draw(3)), "ISB";
      case 5: return act(draw(3)), "TLBI acts";
      default: return fill(draw(3)), "fill";
    }
  }

  /// Everything held is current or in the shadow.
  bool explained() {
    for (unsigned cpu = 0; cpu < 3; ++cpu)
      for (const Held& h : held_[cpu])
        if (!is_current(h) && !in_shadow(h, cpu)) return false;
    return true;
  }

  void clear_everything() {
    for (const auto& [page, level] : pages_)
      for (unsigned i = 0; i < t.r.entry_count(level); ++i) t.store(page + i * 8, Descriptor{});
    t.flush(0, t.op(vmsa::vmalle1is));
  }

 private:
  unsigned draw(unsigned below) { return std::uniform_int_distribution<unsigned>(0, below - 1)(random_); }
  VirtAddr any_va() { return t.base + draw(64) * t.r.page_size(); }

  bool is_current(const Held& h) const {
    const auto table =
        table_on_walk(t.r, t.memory, {t.root, t.r.root_level(), t.base}, h.place.va, h.place.level);
    return table == h.slot.align_down(t.r.page_size()) && t.memory.read(h.slot) == h.value;
  }
  bool in_shadow(const Held& h, unsigned cpu) const {
    bool found = false;
    t.shadow.for_each([&](const Entry& e) {
      found |= e.place == h.place && e.slot == h.slot && e.value == h.value && e.holders.contains(cpu);
    });
    return found;
  }

  /// A contiguous pair comes as a whole and into invalid slots only; it goes member by member.
  void store() {
    const auto& [page, level] = pages_[draw(static_cast<unsigned>(pages_.size()))];
    const unsigned i = draw(t.r.entry_count(level));
    const PhysAddr slot = page + i * 8, partner = page + (i ^ 1) * 8;
    const PhysAddr pa = some_page + draw(4) * t.r.span(vmsa::pud_level);
    const bool has_pairs = t.r.contiguous_count(level) == 2;
    auto is_contiguous = [&](PhysAddr s) {
      return is_leaf(t.r, level, t.memory.read(s)) && t.memory.read(s).contiguous();
    };
    const unsigned kind = draw(4);
    if (kind == 0 || is_contiguous(slot)) return t.store(slot, Descriptor{});
    if (kind == 1 && level < page_level) {
      clear_halves();
      std::vector<PhysAddr> below;
      for (const auto& [p, l] : pages_)
        if (l == level.next()) below.push_back(p);
      return t.store(slot, vmsa::make_table(t.r, below[draw(static_cast<unsigned>(below.size()))]));
    }
    if (kind == 2 && has_pairs && t.memory.read(slot).none() && t.memory.read(partner).none()) {
      const vmsa::Attributes a{.dbm = true, .contiguous = true};
      for (unsigned m : {0u, 1u})
        t.store(page + ((i & ~1u) + m) * 8, t.leaf(pa + m * t.r.span(level), a, level));
      return;
    }
    if (!has_pairs || !is_contiguous(partner)) t.store(slot, t.leaf(pa, vmsa::page_kernel, level));
  }

  /// What a half-valid group translates is nobody's promise: none is linked anew.
  void clear_halves() {
    for (const auto& [page, level] : pages_)
      for (unsigned i = 0; i < t.r.entry_count(level); ++i) {
        const Descriptor d = t.memory.read(page + i * 8);
        const bool half =
            is_leaf(t.r, level, d) && d.contiguous() && t.memory.read(page + (i ^ 1) * 8).none();
        if (half) t.store(page + i * 8, Descriptor{});
      }
  }

  void issue() {
    vmsa::Tlbi op = t.op(vmsa::tlbi_ops[draw(vmsa::tlbi_ops.size())], any_va(), 1 + draw(16));
    if (draw(4) == 0) op.ttl = Level{static_cast<int>(1 + draw(3))};
    op.asid = static_cast<std::uint16_t>(draw(2));
    const unsigned cpu = draw(3);
    t.tlbi(cpu, op);
    pending_.push_back({cpu, op, op.op.broadcast ? all_cpus : CpuSet::one(cpu)});
  }

  /// One operation acts on one CPU, out of turn.
  void act(unsigned cpu) {
    for (Pending& p : pending_)
      if (p.cpus.contains(cpu) && draw(2) == 0) return drop(p, cpu);
  }
  void drop(Pending& p, unsigned cpu) {
    std::erase_if(held_[cpu],
                  [&](const Held& h) { return vmsa::tlbi_miss(t.r, p.op, h.cached()) == vmsa::Miss::none; });
    p.cpus = p.cpus - CpuSet::one(cpu);
  }
  void barrier() {
    const unsigned cpu = draw(3);
    const auto kind = static_cast<machine::Dsb>(draw(4));
    for (Pending& p : pending_) {
      const bool completes = kind == machine::Dsb::ish || (kind == machine::Dsb::nsh && !p.op.op.broadcast);
      if (p.issuer != cpu || !completes) continue;
      while (!p.cpus.empty()) drop(p, p.cpus.lowest());
    }
    std::erase_if(pending_, [](const Pending& p) { return p.cpus.empty(); });
    t.shadow.dsb(cpu, kind);
  }

  /// A walk that may take, at each level, what the CPU holds or what memory says.
  void fill(unsigned cpu) {
    const VirtAddr va = any_va();
    PhysAddr table = t.root;
    for (Level level = t.r.root_level(); level <= page_level; level = level.next()) {
      const Place place{level, va.align_down(t.r.span(level))};
      Held h{place, vmsa::slot_address(t.r, table, level, va), {}};
      h.value = t.memory.read(h.slot);
      for (const Held& old : held_[cpu])
        if (old.place == place && draw(2) == 0) h = old;
      if (!cacheable(t.r, level, h.value)) return;
      held_[cpu].push_back(h);
      std::sort(held_[cpu].begin(), held_[cpu].end());
      held_[cpu].erase(std::unique(held_[cpu].begin(), held_[cpu].end()), held_[cpu].end());
      if (!h.value.is_table(level)) return fill_group(cpu, h);
      table = vmsa::output_address(t.r, level, h.value);
    }
  }
  /// An entry over the whole group, out of a member that memory still has.
  void fill_group(unsigned cpu, const Held& h) {
    if (!h.value.contiguous() || t.memory.read(h.slot) != h.value || draw(2) == 0) return;
    const std::uint64_t span = t.r.span(h.place.level);
    const bool second = (h.slot.value & 8) != 0;
    const std::uint64_t distance = second ? ~span + 1 : span;
    const PhysAddr pa = vmsa::output_address(t.r, h.place.level, h.value) + distance;
    held_[cpu].push_back({{h.place.level, h.place.va + distance},
                          PhysAddr(h.slot.value ^ 8),
                          t.leaf(pa, vmsa::attributes(t.r, h.value), h.place.level)});
  }

  std::mt19937 random_;
  std::vector<std::pair<PhysAddr, Level>> pages_;
  std::array<std::vector<Held>, 3> held_;
  std::vector<Pending> pending_;

 public:
  FakeTables t;
};

TEST(Soundness, WhatACpuHoldsIsCurrentOrInTheShadow) {
#ifdef SHOOTDOWN_SANITIZED
  constexpr unsigned seeds = 40;
#else
  constexpr unsigned seeds = 400;
#endif
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    Hardware hardware(seed);
    for (unsigned i = 0; i < 600; ++i) {
      const char* what = hardware.step();
      ASSERT_TRUE(hardware.explained()) << "seed " << seed << ", step " << i << ": " << what;
    }
    hardware.clear_everything();
    EXPECT_TRUE(hardware.t.shadow.empty()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace shootdown::shadow
