// SPDX-License-Identifier: MIT
// A table tree in a map, its shadow, and the operations that a rule talks about: every store is seen at once.
// No CPUs, no buffers, no procedures: those are the model's.
#pragma once

#include <map>
#include <ostream>
#include <set>
#include <vector>

#include "shadow/finding.hpp"

namespace shootdown::shadow {

inline std::ostream& operator<<(std::ostream& out, Harm h) { return out << name(h); }

class FakeMemory final : public TableMemory {
 public:
  Descriptor read(PhysAddr slot) const override {
    const auto found = words_.find(slot.value);
    return Descriptor{found == words_.end() ? 0 : found->second};
  }
  void for_each_valid(PhysAddr page, unsigned count,
                      FunctionRef<void(unsigned, Descriptor)> fn) const override {
    const std::uint64_t end = page.value + count * sizeof(Descriptor);
    for (auto it = words_.lower_bound(page.value); it != words_.end() && it->first < end; ++it)
      if (Descriptor{it->second}.valid())
        fn(static_cast<unsigned>((it->first - page.value) / sizeof(Descriptor)), Descriptor{it->second});
  }
  void write(PhysAddr slot, Descriptor d) { words_[slot.value] = d.bits; }

 private:
  std::map<std::uint64_t, std::uint64_t> words_;
};

/// One address space over a shadow of three CPUs. Tables are allocated as needed.
class FakeTables {
  PhysAddr next_page_{0x4000'0000};  // first: the root comes out of it

 public:
  explicit FakeTables(const Regime& r = vmsa::regime(12, 48), bool user = false)
      : r(r), shadow(r, 3), base(user ? VirtAddr(0) : r.base()), root(page()) {
    if (user)
      run_everywhere(1);
    else
      shadow.set_kernel_root(root);
  }

  const Regime r;
  FakeMemory memory;
  Shadow shadow;
  VirtAddr base;
  PhysAddr root;
  std::uint8_t space = 0;  ///< the one that stores are made to
  vmsa::BbmLevel bbm = vmsa::BbmLevel::level0;
  bool same_contents = false;       ///< all pages are equal
  std::optional<Finding> conflict;  ///< the first that a store met

  PhysAddr page() { return next_page_ += r.page_size(); }

  Context context() const { return shadow.context(space); }
  /// From here on stores are to the space of this root with this ASID, which every CPU has in TTBR0.
  void run_everywhere(std::uint16_t asid) {
    space = shadow.space_of(root, asid);
    for (unsigned cpu : {0u, 1u, 2u}) run(cpu);
  }
  /// A CPU switches to the present space, its ISB included; `space` 0 is none.
  void run(unsigned cpu) {
    shadow.install(cpu, space);
    shadow.isb(cpu);
  }
  void leave(unsigned cpu) {
    shadow.install(cpu, 0);
    shadow.isb(cpu);
  }

  /// Stores at a slot, wherever it is linked and through whatever stale entry it may be walked.
  void store(PhysAddr slot, Descriptor now) {
    const PhysAddr page = slot.align_down(r.page_size());
    const Descriptor before = memory.read(slot);
    std::vector<TableAt> places;
    const TableAt top{root, r.root_level(), base};
    if (page == root) places.push_back(top);
    for_each_below(r, memory, top, context(), [&](const Place& p, PhysAddr, Descriptor d) {
      if (d.is_table(p.level) && table_of(r, p, d).page == page) places.push_back(table_of(r, p, d));
    });
    memory.write(slot, now);
    shadow.store_unlinked(memory, slot, now);
    for (const TableAt& t : places) {
      const Place place{t.level, t.va + (slot - page) / sizeof(Descriptor) * r.span(t.level), context()};
      shadow.store_linked(memory, place, slot, before, now);
      auto found = check_exposed(shadow, memory, place, slot, now, bbm,
                                 [this](PhysAddr, PhysAddr, std::uint64_t) { return same_contents; });
      if (!conflict) conflict = found;
    }
  }

  /// The slot of `va` at a level; tables above it are made as needed.
  PhysAddr slot(VirtAddr va, Level level = vmsa::page_level) {
    PhysAddr table = root;
    for (Level l = r.root_level(); l < level; l = l.next()) {
      const PhysAddr at = vmsa::slot_address(r, table, l, va);
      if (!memory.read(at).is_table(l)) store(at, vmsa::make_table(r, page()));
      table = vmsa::output_address(r, l, memory.read(at));
    }
    return vmsa::slot_address(r, table, level, va);
  }
  Descriptor leaf(PhysAddr pa, vmsa::Attributes a = vmsa::page_kernel, Level level = vmsa::page_level) const {
    return vmsa::make_leaf(r, level, pa, a);
  }
  void map(VirtAddr va, PhysAddr pa, vmsa::Attributes a = vmsa::page_kernel, Level level = vmsa::page_level) {
    store(slot(va, level), leaf(pa, a, level));
  }
  void clear(VirtAddr va, Level level = vmsa::page_level) { store(slot(va, level), Descriptor{}); }
  /// The table that the entry of `va` at `level` points to.
  PhysAddr table_below(VirtAddr va, Level level) {
    return vmsa::output_address(r, level, memory.read(slot(va, level)));
  }

  vmsa::Tlbi op(vmsa::TlbiOp o, VirtAddr va = {}, std::uint64_t pages = 1) const {
    return {.op = o, .va = va, .pages = pages, .asid = context().asid, .page_shift = r.page_shift};
  }
  /// A TLBI behind the DSB that it needs.
  void tlbi(unsigned cpu, const vmsa::Tlbi& t, Shadow::Report report = {}) {
    shadow.dsb(cpu, t.op.broadcast ? machine::Dsb::ishst : machine::Dsb::nshst);
    shadow.tlbi(memory, cpu, t, report);
  }
  /// What the operation says of the entry at one place.
  Outcome outcome(unsigned cpu, const vmsa::Tlbi& t, Level level, VirtAddr va) {
    Outcome found = Outcome::address;
    tlbi(cpu, t, [&](const Entry& e, Outcome o) {
      if (e.place.level == level && e.place.va == va) found = o;
    });
    return found;
  }
  /// Issue, complete, synchronise: what Linux does for the kernel half.
  void flush(unsigned cpu, const vmsa::Tlbi& t) {
    tlbi(cpu, t);
    shadow.dsb(cpu, machine::Dsb::ish);
    shadow.isb(cpu);
  }

  /// CPUs that hold a stale entry at this place.
  CpuSet holders(VirtAddr va, Level level = vmsa::page_level) const {
    CpuSet all;
    shadow.for_each([&](const Entry& e) {
      if (e.place.level == level && e.place.va == va) all = all | e.holders;
    });
    return all;
  }
  Harm release(PhysAddr pa, std::uint64_t bytes = 0) const {
    const auto f = check_release(shadow, memory, {pa, pa + (bytes != 0 ? bytes : r.page_size())});
    return f ? f->harm : Harm::none;
  }
  vmsa::Conflict conflicts() const { return conflict ? conflict->conflict : vmsa::Conflict::none; }
};

inline constexpr CpuSet all_cpus = CpuSet::first(3);
inline constexpr PhysAddr some_page{0x8000'0000};
inline constexpr PhysAddr other_page{0x9000'0000};

}  // namespace shootdown::shadow
