// SPDX-License-Identifier: MIT
// Strategy: symbol tables of a few lines, whole and each with one thing wrong: what cannot be watched is named, what
// nothing could be judged without is refused, and so are the symbols of another kernel. Then runs that are no evidence.
#include "audit/kernel/watched_places.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "audit/watched.hpp"
#include "tests/audit/machine.hpp"

namespace shootdown::audit::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::vector<std::string> all_names{
    "free_unref_page",    "__free_pages_ok", "__free_pages",        "free_unref_folios",
    "pgd_free",           "copy_highpage",   "copy_user_highpage",  "__arm64_sys_mprotect",
    "arch_remove_memory", "vectors",         "unmap_hotplug_range", "last"};
constexpr std::uint64_t text = 0xffff800080000000;

/// All of them, `name` under another; without one where that is empty.
SymbolTable symbols_with(std::string_view name = {}, const std::string& other = {}) {
  std::vector<Symbol> symbols;
  std::uint64_t address = text + 0x100;
  for (const std::string& n : all_names) {
    const std::string& called = n == name ? other : n;
    if (!called.empty()) symbols.push_back({address, called});
    address += 0x100;
  }
  return SymbolTable(std::move(symbols));
}

TEST(WatchedPlaces, AWholeKernelHasNoBlindSpot) {
  const auto watched = watched_places(symbols_with());
  ASSERT_TRUE(watched);
  EXPECT_THAT(watched->blind_spots, IsEmpty()) << "and no pkey_mprotect, which it need not have";
  EXPECT_EQ(watched->places.size(), all_names.size() - 2);
}

TEST(WatchedPlaces, WhatIsMissingIsNamed) {
  for (const char* name :
       {"__free_pages_ok", "__free_pages", "free_unref_folios", "pgd_free", "copy_highpage",
        "copy_user_highpage", "__arm64_sys_mprotect", "arch_remove_memory"}) {
    const auto watched = watched_places(symbols_with(name));
    ASSERT_TRUE(watched) << name;
    EXPECT_THAT(watched->blind_spots, ElementsAre(HasSubstr(name)));
  }
}

TEST(WatchedPlaces, NothingCouldBeJudgedWithoutSome) {
  for (const char* name : {"free_unref_page", "vectors"}) {
    const auto watched = watched_places(symbols_with(name));
    ASSERT_FALSE(watched) << name;
    EXPECT_EQ(watched.error().code, ExitCode::bad_data);
    EXPECT_THAT(watched.error().message, HasSubstr(name));
  }
}

TEST(WatchedPlaces, ARenamedFunctionIsFoundAChangedOneIsNamed) {
  const auto renamed = watched_places(symbols_with("pgd_free", "pgd_free.llvm.1234"));
  ASSERT_TRUE(renamed);
  EXPECT_THAT(renamed->blind_spots, IsEmpty());
  EXPECT_EQ(renamed->places.size(), all_names.size() - 2);
  for (const std::string suffix : {".constprop.0", ".isra.0", ".part.3"}) {
    const auto changed = watched_places(symbols_with("pgd_free", "pgd_free" + suffix));
    ASSERT_TRUE(changed);
    EXPECT_THAT(changed->blind_spots, testing::Contains(HasSubstr("pgd_free" + suffix)));
    EXPECT_EQ(changed->places.size(), all_names.size() - 3);
  }
  EXPECT_THAT(watched_places(symbols_with("last", "pgd_free.constprop.0"))->blind_spots,
              ElementsAre(HasSubstr("pgd_free.constprop.0")))
      << "a copy beside the function itself";
  EXPECT_THAT(watched_places(symbols_with("last", "pgd_free.cold"))->blind_spots, IsEmpty());
}

KernelImage image_of(std::uint64_t bytes) {
  KernelImage image;
  image.bytes.resize(0x1000);
  image.memory_bytes = bytes;
  return image;
}

TEST(SymbolsOfAnotherKernel, AreRefusedByTheImagesSize) {
  const auto map = parse_system_map(
      "ffff800080000000 T _text\nffff800080000100 T f\nffff800080100000 B _end\n", "System.map");
  ASSERT_TRUE(map);
  EXPECT_TRUE(check_symbols_of(*map, image_of(0x100000), "System.map"));
  const auto other = check_symbols_of(*map, image_of(0x110000), "System.map");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ExitCode::bad_data);
  EXPECT_THAT(other.error().message, HasSubstr("System.map is of another kernel"));
}

TEST(MaintenanceFunctions, AreThoseThatIssueATlbi) {
  constexpr std::uint32_t nop = 0xd503201f, vmalle1is = 0xd508831f, dsb_ishst = 0xd5033a9f,
                          dsb_ish = 0xd5033b9f, alle2is = 0xd50c831f;
  KernelImage image = image_of(0x100000);
  const auto put = [&](std::size_t at, std::initializer_list<std::uint32_t> words) {
    for (std::uint32_t word : words) std::memcpy(image.bytes.data() + at, &word, 4), at += 4;
  };
  put(0x100, {dsb_ishst, vmalle1is, dsb_ish});  // the first
  put(0x200, {nop, alle2is});                   // of another exception level
  put(0x300, {dsb_ish, vmalle1is});             // a replacement, where a TLBI is issued twice
  EXPECT_THAT(maintenance_functions(image, text, symbols_with()), ElementsAre("free_unref_page"));
}

TEST(NoEvidence, WithoutAStoreOrARelease) {
  Machine m;
  EXPECT_THAT(m.judge().result().judged_nothing, HasSubstr("no store"));
  m.in("elsewhere"), m.store(0, Machine::ram + 0x90000, 1);
  EXPECT_THAT(m.judge().result().judged_nothing, HasSubstr("no store")) << "to no table";
  m.in("map"), m.store(0, Machine::user_leaf_table, Machine::leaf(Machine::page, true));
  EXPECT_THAT(m.judge().result().judged_nothing, HasSubstr("no page was seen"));
  m.in("free"), m.free_page(0, Machine::page + 0x1000);
  EXPECT_EQ(m.judge().result().judged_nothing, "");
}

TEST(NoEvidence, OfAFunctionThatWasNotReached) {
  Machine m;
  m.in("flush"), m.tlbi(0, {.op = vmsa::vmalle1is});
  EXPECT_TRUE(m.judge().reached("flush"));
  EXPECT_FALSE(m.judge().reached("unmap"));
}

}  // namespace
}  // namespace shootdown::audit::test
