// SPDX-License-Identifier: MIT
// What goes when a memory block goes: half a leaf of it, which cannot; and the struct pages that were carved from it,
// which must.
#include <gtest/gtest.h>

#include "tests/negative/hot_remove_world.hpp"
#include "tests/negative/procedure_world.hpp"

namespace shootdown::scenario {
namespace {

using model::Weakening;

constexpr vmsa::Regime blocks = vmsa::scaled_for_hotplug(vmsa::regime(12, 48), scaled_block_bits);

// ---- 95a58852b0e5: a part of a leaf is removed ------------------------------------------------------------------

/// The first quarter of the level 1 block in the middle of the range, as a memory block of 128 MiB is a part of a
/// 1 GiB block. The rest of the range stays in use.
mm::PhysRange quarter_of_a_block(const Arrangement& a) {
  const mm::PhysAddr start = a.range.start.align_up(blocks.span(vmsa::pud_level));
  return {start, start + blocks.span(vmsa::pmd_level)};
}

/// CPU 0 runs `remover`, CPU 1 uses memory of the same block that is not removed.
model::Setup beside_a_user(model::Task remover) {
  HotRemoveConfig c = linear("B", 2);
  c.cpus = 2;
  model::Setup setup = with_remover<blocks>(c, std::move(remover));
  const mm::VirtAddr used = arrange(c).map.phys_to_virt(quarter_of_a_block(arrange(c)).end);
  setup.tasks[1] = [used](ModelMachine& m) {
    machine::Scope scope(m, "user");
    if (m.load(used).faulted != 0) m.unexpected_fault(used);
  };
  setup.final_check = nullptr;  // the range stays, or most of it
  return setup;
}

Arrangement part_of(HotRemoveConfig c) {
  Arrangement a = arrange(c);
  a.range = quarter_of_a_block(a);
  return a;
}

TEST(MemoryBlock, Bug95a58852b0e5_PartOfABlockIsRemoved) {
  const Arrangement a = part_of(linear("B", 2));
  const mm::RemovePlan plan{strategy("B")};
  const auto found = model::search_small(
      beside_a_user([=](ModelMachine& m) { mm::try_remove_memory<blocks>(m, a.map, a.range, plan); }));
  EXPECT_EQ(verdict(found), "warning none") << "nobody asked before";
  ASSERT_TRUE(found.violation);
  EXPECT_STREQ(found.violation->text, "a block is unmapped of which a part stays in use");
}

/// What the kernel did before: the whole block goes, and nothing is said.
void clear_the_block(ModelMachine& m, const Arrangement& a) {
  machine::Scope scope(m, "clear_the_block");
  const mm::VirtAddr va = a.map.linear(a.range).start;
  mm::PhysAddr table = m.kernel_root();
  for (vmsa::Level level = blocks.root_level(); level < vmsa::pud_level; level = level.next())
    table = vmsa::output_address(blocks, level, m.read_once(vmsa::slot_address(blocks, table, level, va)));
  m.write_once(vmsa::slot_address(blocks, table, vmsa::pud_level, va), model::Descriptor{});
  mm::flush_tlb_kernel_range<blocks>(m, a.map.linear(a.range));
}

TEST(MemoryBlock, Bug95a58852b0e5_AndTheOtherPartFaults) {
  const Arrangement a = part_of(linear("B", 2));
  const auto found = model::search_small(beside_a_user([=](ModelMachine& m) { clear_the_block(m, a); }));
  EXPECT_EQ(found.harm(), shadow::Harm::unexpected_fault);
}

TEST(MemoryBlock, WhatSharesALeafIsRefused) {
  const Arrangement part = part_of(linear("B", 2));
  const Arrangement whole = arrange(linear("B", 2));
  const mm::RemovePlan plan{strategy("B")};
  const auto found = model::search_small(beside_a_user([=](ModelMachine& m) {
    machine::Scope scope(m, "offline");
    if (mm::offline_and_remove_memory<blocks>(m, part.map, part.range, plan)) m.warn("it was not refused");
    if (!mm::can_unmap_without_split<blocks>(m, whole.map, whole.range)) m.warn("the whole range may go");
  }));
  EXPECT_EQ(verdict(found), "safe");
}

TEST(MemoryBlock, WhatSharesNoLeafIsRemoved) {
  const HotRemoveConfig c = linear("B", 2);
  const Arrangement a = arrange(c);
  const mm::RemovePlan plan{strategy("B")};
  const auto found = model::search_small(with_remover<blocks>(c, [=](ModelMachine& m) {
    machine::Scope scope(m, "offline");
    if (!mm::offline_and_remove_memory<blocks>(m, a.map, a.range, plan)) m.warn("it was refused");
  }));
  EXPECT_EQ(verdict(found), "safe");
}

// ---- memmap_on_memory ---------------------------------------------------------------------------------------------

HotRemoveConfig carved(std::string_view name, unsigned mapping = 2) {
  HotRemoveConfig c = linear(name, mapping);
  c.path = Path::both;
  c.vmemmap = VmemmapKind::block;
  c.memmap_on_memory = true;
  return c;
}

TEST(MemoryBlock, StructPagesCarvedFromIt) {
  for (const char* name : {"P", "R", "B", "L", "T"}) EXPECT_EQ(verdict(carved(name)), "safe") << name;
  EXPECT_EQ(verdict(carved("B", 3)), "safe");
  EXPECT_EQ(verdict(carved("P", 3)), "stale-page contiguous");
  HotRemoveConfig add = carved("B");
  add.experiment = Experiment::hot_add;
  EXPECT_EQ(verdict(add), "safe") << "a failed attempt included";
}

TEST(MemoryBlock, CarvedStructPagesWithoutTheirFlush) {
  // Nothing of vmemmap is freed: what a flush protects there is the release of the range, as in the linear map.
  EXPECT_EQ(verdict(mutant(carved("B"), model::kind_of<model::op::Tlbi>, "vmemmap_free", Weakening::drop)),
            "stale-page no-tlbi");
}

TEST(MemoryBlock, CarvedStructPagesFreedToTheAllocator) {
  const HotRemoveConfig c = carved("B");
  const Arrangement a = arrange(c);
  const mm::RemovePlan forgetful{strategy("B")};
  const auto found = model::search_small(with_remover<blocks>(
      c, [=](ModelMachine& m) { mm::try_remove_memory<blocks>(m, a.map, a.range, forgetful); }));
  EXPECT_EQ(verdict(found), "stale-page freed-early") << "the linear map still leads to them";
}

}  // namespace
}  // namespace shootdown::scenario
