// SPDX-License-Identifier: MIT
// Strategy: the geometry of the ten regimes against a table worked out by hand from Linux and the manual, and
// what scaling down must keep.
#include "vmsa/regime.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "tests/vmsa/show.hpp"

namespace shootdown::vmsa {
namespace {

constexpr std::uint64_t k = 1024, m = k * k, g = m * k, t = g * k;

struct Geometry {
  unsigned page_shift, va_bits, levels;
  std::vector<std::uint64_t> spans;  ///< leaf upwards
  unsigned entries, top_entries;
  std::vector<std::uint64_t> blocks;  ///< those that Linux maps
  std::vector<int> hardware_blocks;   ///< levels at which hardware takes a block
  std::uint64_t contpte, contpmd;
  std::uint64_t section, section_vmemmap;
};

const std::vector<Geometry> geometries{
    {12, 39, 3, {4 * k, 2 * m, g}, 512, 512, {2 * m, g}, {1, 2}, 64 * k, 32 * m, 128 * m, 2 * m},
    {12, 48, 4, {4 * k, 2 * m, g, 512 * g}, 512, 512, {2 * m, g}, {1, 2}, 64 * k, 32 * m, 128 * m, 2 * m},
    {12,
     52,
     5,
     {4 * k, 2 * m, g, 512 * g, 256 * t},
     512,
     16,
     {2 * m, g},
     {0, 1, 2},
     64 * k,
     32 * m,
     128 * m,
     2 * m},
    {14, 36, 2, {16 * k, 32 * m}, 2048, 2048, {32 * m}, {2}, 2 * m, g, 128 * m, 512 * k},
    {14, 47, 3, {16 * k, 32 * m, 64 * g}, 2048, 2048, {32 * m}, {2}, 2 * m, g, 128 * m, 512 * k},
    {14, 48, 4, {16 * k, 32 * m, 64 * g, 128 * t}, 2048, 2, {32 * m}, {2}, 2 * m, g, 128 * m, 512 * k},
    {14, 52, 4, {16 * k, 32 * m, 64 * g, 128 * t}, 2048, 32, {32 * m}, {1, 2}, 2 * m, g, 128 * m, 512 * k},
    {16, 42, 2, {64 * k, 512 * m}, 8192, 8192, {512 * m}, {2}, 2 * m, 16 * g, 512 * m, 512 * k},
    {16, 48, 3, {64 * k, 512 * m, 4 * t}, 8192, 64, {512 * m}, {2}, 2 * m, 16 * g, 512 * m, 512 * k},
    {16, 52, 3, {64 * k, 512 * m, 4 * t}, 8192, 1024, {512 * m}, {1, 2}, 2 * m, 16 * g, 512 * m, 512 * k},
};

TEST(Regime, TheTenGeometries) {
  ASSERT_EQ(geometries.size(), regimes.size());
  for (std::size_t i = 0; i < geometries.size(); ++i) {
    const Geometry& want = geometries[i];
    const Regime r = regime(want.page_shift, want.va_bits);
    SCOPED_TRACE(show(r));
    EXPECT_EQ(r, regimes[i]);
    EXPECT_EQ(r.level_count(), want.levels);
    EXPECT_EQ(r.root_level().value, 4 - static_cast<int>(want.levels));
    EXPECT_EQ(r.entries_per_table(), want.entries);
    EXPECT_EQ(r.entry_count(r.root_level()), want.top_entries);
    EXPECT_EQ(r.contiguous_span(page_level), want.contpte);
    EXPECT_EQ(r.contiguous_span(pmd_level), want.contpmd);
    EXPECT_EQ(r.section_size(), want.section);
    EXPECT_EQ(r.section_vmemmap_size(), want.section_vmemmap);
    EXPECT_EQ(r.vmemmap_uses_blocks(), want.page_shift == 12);
    EXPECT_EQ(r.lpa2, want.va_bits == 52 && want.page_shift != 16);
    EXPECT_EQ(r.lva, want.va_bits == 52 && want.page_shift == 16);
    EXPECT_EQ(std::uint64_t{1} << r.range_base_shift, r.lpa2 ? 64 * k : r.page_size());

    std::vector<std::uint64_t> blocks;
    std::vector<int> hardware_blocks;
    for (Level level = page_level; level >= r.root_level(); level = level.above()) {
      EXPECT_EQ(r.span(level), want.spans[static_cast<std::size_t>(3 - level.value)]);
      if (r.has_block(level)) blocks.push_back(r.span(level));
      if (r.accepts_block(level)) hardware_blocks.insert(hardware_blocks.begin(), level.value);
      EXPECT_TRUE(!r.has_block(level) || r.accepts_block(level)) << "Linux maps what hardware takes";
    }
    EXPECT_EQ(blocks, want.blocks);
    EXPECT_EQ(hardware_blocks, want.hardware_blocks);
    EXPECT_FALSE(r.has_level(r.root_level().above()));
    EXPECT_FALSE(r.has_level(page_level.next()));
    EXPECT_FALSE(r.accepts_block(r.root_level().above()));
    EXPECT_EQ(r.span(r.root_level()) * want.top_entries, std::uint64_t{0} - r.base().value)
        << "the root maps all";
  }
}

/// The indices of all levels and the offset in the page are the address again.
TEST(Regime, IndicesSpellTheAddress) {
  std::mt19937_64 random(2);
  for (const Regime& r : regimes)
    for (int i = 0; i < 2000; ++i) {
      const VirtAddr va = r.base() + (random() & ((std::uint64_t{1} << r.va_bits) - 1));
      std::uint64_t offset = va.value % r.page_size();
      for (Level level = r.root_level(); level <= page_level; level = level.next()) {
        ASSERT_LT(r.index(level, va), r.entry_count(level));
        offset += r.index(level, va) * r.span(level);
      }
      ASSERT_EQ(r.base() + offset, va) << show(r);
    }
}

TEST(Regime, ScalingKeepsTheShape) {
  for (const Regime& real : regimes)
    for (unsigned section_bits : {0u, 1u, 2u}) {
      const Regime r = scaled(real, section_bits);
      const unsigned bits = real.level_count() == 2 ? 3 : 2;
      SCOPED_TRACE(show(real) + " with sections of 2^" + std::to_string(section_bits));
      EXPECT_EQ(r.level_count(), real.level_count());
      EXPECT_EQ(r.entries_per_table(), 1u << bits);
      EXPECT_EQ(r.entry_count(r.root_level()), std::min(real.entry_count(real.root_level()), 1u << bits));
      EXPECT_EQ(r.page_size(), real.page_size());
      for (Level level = r.root_level(); level <= page_level; level = level.next()) {
        EXPECT_EQ(r.has_block(level), real.has_block(level));
        EXPECT_EQ(r.accepts_block(level), real.accepts_block(level));
        EXPECT_EQ(r.contiguous_count(level) > 1, real.contiguous_count(level) > 1);
        EXPECT_LE(r.contiguous_count(level), r.entry_count(level));
      }
      EXPECT_EQ(r.section_size(), section_bits == 0 ? r.span(pmd_level) : r.page_size() << section_bits);
      EXPECT_EQ(r.vmemmap_uses_blocks(), real.vmemmap_uses_blocks());
      EXPECT_EQ(r.section_vmemmap_size(), real.vmemmap_uses_blocks() ? r.span(pmd_level) : 2 * r.page_size());
      EXPECT_EQ(r.range_base_shift > r.page_shift, real.lpa2);
    }
}

/// Scaled for hotplug there is something between first and last, at every level and in every group.
TEST(Regime, ScalingForHotplugKeepsAMiddle) {
  for (const Regime& real : regimes)
    for (unsigned described_bits : {0u, 2u}) {
      const Regime r = scaled_for_hotplug(real, described_bits);
      SCOPED_TRACE(show(real) + ", 2^" + std::to_string(described_bits) + " pages described by one");
      EXPECT_EQ(r.level_count(), real.level_count());
      EXPECT_EQ(r.entries_per_table(), 4u);
      for (Level level = r.root_level(); level <= page_level; level = level.next()) {
        EXPECT_EQ(r.has_block(level), real.has_block(level));
        EXPECT_EQ(r.accepts_block(level), real.accepts_block(level));
        EXPECT_EQ(r.contiguous_count(level), real.contiguous_count(level) > 1 ? 4u : 1u);
        EXPECT_LE(r.entry_count(level), real.entry_count(level));
      }
      EXPECT_EQ(r.struct_page_size() << described_bits, r.page_size());
      EXPECT_EQ(r.vmemmap_uses_blocks(), real.vmemmap_uses_blocks());
      EXPECT_EQ(r.section_vmemmap_size(), real.vmemmap_uses_blocks() ? r.span(pmd_level) : 2 * r.page_size());
      EXPECT_EQ(r.range_base_shift > r.page_shift, real.lpa2);
    }
}

/// Full tables, small sections: only the sections and what describes them change.
TEST(Regime, SmallSectionsKeepTheTables) {
  for (const Regime& real : regimes)
    for (unsigned section_bits : {1u, 2u, real.bits_per_level, real.bits_per_level + 1}) {
      Regime r = with_small_sections(real, section_bits);
      SCOPED_TRACE(show(real) + " with sections of 2^" + std::to_string(section_bits));
      EXPECT_EQ(r.section_size(), real.page_size() << section_bits);
      EXPECT_EQ(r.vmemmap_uses_blocks(), real.vmemmap_uses_blocks());
      EXPECT_EQ(r.section_vmemmap_size(),
                real.vmemmap_uses_blocks() ? real.span(pmd_level) : 2 * real.page_size());
      r.section_shift = real.section_shift;
      r.struct_page_shift = real.struct_page_shift;
      EXPECT_EQ(r, real);
    }
}

}  // namespace
}  // namespace shootdown::vmsa
