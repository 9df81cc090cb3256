// SPDX-License-Identifier: MIT
// Contiguous groups: one entry may stand for all addresses of the group, whichever member it came from (RULES 11, 17;
// R_LQLSD, R_NGLXZ). A group of the small world has two members.
#include <gtest/gtest.h>

#include "tests/negative/verdict.hpp"

namespace shootdown::model {
namespace {

constexpr vmsa::Attributes contiguous{.dbm = true, .contiguous = true};

void clear_pair(ModelMachine& m) {
  for (unsigned i : {0u, 1u}) m.write_once(W::slot(i), {});
}
void flush_pair(ModelMachine& m) {
  m.dsb(Dsb::ishst);
  for (unsigned i : {0u, 1u}) m.tlbi(tlbi_of(i));
  complete(m);
}
void map_pair(ModelMachine& m, const vmsa::Attributes& first, const vmsa::Attributes& second) {
  m.write_once(W::slot(0), W::leaf(0, first));
  m.write_once(W::slot(1), W::leaf(1, second));
  publish(m);
}
std::string on_a_group(Task task) {
  return verdict({std::move(task), reader(1)}, {.attributes = contiguous});
}

TEST(Contiguous, AValidMemberReachesThePageBehindAnInvalidOne) {  // E1
  auto released = [](const vmsa::Attributes& a) {
    return verdict({[](ModelMachine& m) { m.release_range(W::one(1)); }, reader(1)},
                   {.attributes = a, .world = [](W& w) { w.setup.world.memory.write(W::slot(1), {}); }});
  };
  EXPECT_EQ(released(contiguous), "stale-page freed-early");
  EXPECT_EQ(released(vmsa::page_kernel), "safe");
}

TEST(Contiguous, AMemberMappedAgainReachesAReleasedPage) {  // E2
  auto mapped_again = [](const vmsa::Attributes& a) {
    return on_a_group([=](ModelMachine& m) {
      clear_pair(m);
      flush_pair(m);
      m.release_range(W::one(1));
      m.write_once(W::slot(0), W::leaf(0, a));
      publish(m);
    });
  };
  EXPECT_EQ(mapped_again(contiguous), "stale-page none");
  EXPECT_EQ(mapped_again(vmsa::page_kernel), "safe");
}

TEST(Contiguous, AGroupIsInvalidatedOnceNoMemberIsValid) {
  auto one_by_one = [](bool page_of_the_last) {
    return on_a_group([=](ModelMachine& m) {
      for (unsigned i : {1u, 0u}) unmap(m, i);
      m.release_range(W::one(page_of_the_last ? 0 : 1));
    });
  };
  EXPECT_EQ(one_by_one(false), "stale-page contiguous");
  EXPECT_EQ(on_a_group([](ModelMachine& m) { clear_pair(m), flush_pair(m), m.release_range(W::one(1)); }),
            "safe");
}

TEST(Contiguous, EveryMembersAddressIsFlushed) {
  EXPECT_EQ(on_a_group([](ModelMachine& m) {
              clear_pair(m);
              flush(m, tlbi_of(0));
              m.release_range(W::one(1));
            }),
            "stale-page no-tlbi");
}

TEST(Contiguous, MembersAreOfOneKind) {  // E3, R_NGLXZ
  auto mapped_as = [](const vmsa::Attributes& second) {
    const Found f = search_tasks({[=](ModelMachine& m) {
                                    clear_pair(m);
                                    flush_pair(m);
                                    map_pair(m, contiguous, second);
                                  },
                                  reader(1)},
                                 {.attributes = contiguous});
    return f.violation ? f.violation->finding.conflict : vmsa::Conflict::none;
  };
  EXPECT_EQ(mapped_as({.memory_index = 4, .dbm = true, .contiguous = true}), vmsa::Conflict::memory_type);
  EXPECT_EQ(mapped_as({.dbm = true, .contiguous = true, .shareability = vmsa::Shareability::outer}),
            vmsa::Conflict::memory_type);
  EXPECT_EQ(mapped_as({.dbm = true}), vmsa::Conflict::block_size) << "one with the bit, one without";
  EXPECT_EQ(mapped_as({.read_only = true, .contiguous = true}), vmsa::Conflict::none)
      << "permissions may differ for a while: dirty and clean members";
  EXPECT_EQ(mapped_as(contiguous), vmsa::Conflict::none);
}

/// Linux's contpte fold and unfold: the bit changes in place, under the levels of FEAT_BBM (L10, 83bbd6be7d17).
TEST(Contiguous, FoldingInPlaceNeedsLevel2WithoutAborts) {
  auto folded = [](vmsa::BbmLevel bbm, bool broken_first) {
    return verdict({[=](ModelMachine& m) {
                      if (broken_first) clear_pair(m), flush_pair(m);
                      map_pair(m, contiguous, contiguous);
                    },
                    reader(1)},
                   {.world = [=](W& w) { w.setup.features.bbm = bbm; }});
  };
  using vmsa::BbmLevel;
  EXPECT_EQ(folded(BbmLevel::level0, false), "break-before-make no-tlbi");
  EXPECT_EQ(folded(BbmLevel::level0, true), "safe");
  EXPECT_EQ(folded(BbmLevel::level2, false), "break-before-make no-tlbi") << "it may abort";
  EXPECT_EQ(folded(BbmLevel::level2_no_abort, false), "safe");
}

/// What the elided flush leaves must go with the next one that restricts.
TEST(Contiguous, TheEntryOfAnUnfoldedGroupGoesWithItsMember) {
  auto unfolded_and_unmapped = [](bool whole_group) {
    return verdict({[=](ModelMachine& m) {
                      map_pair(m, vmsa::page_kernel, vmsa::page_kernel);  // no flush
                      m.write_once(W::slot(1), {});
                      m.dsb(Dsb::ishst);
                      m.tlbi(tlbi_of(whole_group ? 1 : 0));
                      complete(m);
                      m.release_range(W::one(1));
                    },
                    reader(1)},
                   {.attributes = contiguous,
                    .world = [](W& w) { w.setup.features.bbm = vmsa::BbmLevel::level2_no_abort; }});
  };
  EXPECT_EQ(unfolded_and_unmapped(true), "safe");
  EXPECT_EQ(unfolded_and_unmapped(false), "stale-page no-tlbi");
}

}  // namespace
}  // namespace shootdown::model
