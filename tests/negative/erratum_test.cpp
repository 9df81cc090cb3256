// SPDX-License-Identifier: MIT
// Erratum CVE-2025-10263 (4118414 and kin; Linux cfd391e74134, XSA-493): TLBI and DSB are complete, the entry is gone,
// and stores of others that it translated are still on their way, until one more broadcast TLBI of the same CPU and its
// DSB (RULES 21a). H1 and K1.
#include <gtest/gtest.h>

#include "tests/negative/user_world.hpp"

namespace shootdown::model {
namespace {

Given with_erratum(const vmsa::Attributes& a = vmsa::page_kernel) {
  return {.attributes = a, .world = [](W& w) { w.setup.features.repeat_tlbi = true; }};
}
using Repeat = void (*)(ModelMachine&);

std::string unmapped(Repeat repeat, const Given& given = with_erratum()) {
  return verdict({[=](ModelMachine& m) {
                    unmap(m, 0);
                    repeat(m);
                    m.release_range(W::one(0));
                  },
                  [](ModelMachine& m) { m.store(W::at(0), 5); }},
                 given);
}

TEST(Erratum, TheRepetitionEndsWhatIsInFlight) {
  EXPECT_EQ(unmapped(bystander), "stale-page no-dsb");
  EXPECT_EQ(unmapped([](ModelMachine& m) { m.tlbi(tlbi_of(0)), m.dsb(Dsb::ish); }), "safe");
  EXPECT_EQ(unmapped(bystander, {}), "safe") << "a CPU without it needs none";
}

TEST(Erratum, AnyBroadcastOperationOfTheSameCpuWillDo) {
  EXPECT_EQ(unmapped([](ModelMachine& m) { m.tlbi(tlbi_of(3)), m.dsb(Dsb::ish); }), "safe");
  EXPECT_EQ(unmapped([](ModelMachine& m) { m.tlbi({.op = vmsa::aside1is, .asid = 9}), m.dsb(Dsb::ish); }),
            "safe");
}

TEST(Erratum, NothingLessWillDo) {
  EXPECT_EQ(unmapped([](ModelMachine& m) { m.dsb(Dsb::ish), m.isb(); }), "stale-page no-dsb") << "no TLBI";
  EXPECT_EQ(unmapped([](ModelMachine& m) { m.tlbi(tlbi_of(0)); }), "stale-page no-dsb") << "not complete";
  EXPECT_EQ(unmapped([](ModelMachine& m) { m.tlbi(tlbi_of(0)), m.dsb(Dsb::ishst); }), "stale-page no-dsb");
  EXPECT_EQ(unmapped([](ModelMachine& m) { m.tlbi(tlbi_of(0, local(vmsa::vaale1is))), m.dsb(Dsb::ish); }),
            "stale-page no-dsb")
      << "a local one";
  EXPECT_EQ(verdict({[](ModelMachine& m) {
                       m.write_once(W::slot(0), {});
                       m.dsb(Dsb::ishst);
                       m.tlbi(tlbi_of(0)), m.tlbi(tlbi_of(0));  // two, and one DSB
                       complete(m);
                       m.release_range(W::one(0));
                     },
                     bystander},
                    with_erratum()),
            "stale-page no-dsb");
}

TEST(Erratum, AnotherCpusRepetitionIsNone) {
  EXPECT_EQ(verdict({[](ModelMachine& m) {
                       unmap(m, 0);
                       m.write_word(flag_word, 1, Order::release);
                       m.await_word(flag_word, ~std::uint64_t{0}, 2);
                       m.release_range(W::one(0));
                     },
                     [](ModelMachine& m) {
                       m.await_word(flag_word, ~std::uint64_t{0}, 1);
                       m.tlbi(tlbi_of(0)), m.dsb(Dsb::ish);
                       m.write_word(flag_word, 2, Order::release);
                     }},
                    with_erratum()),
            "stale-page no-dsb");
}

TEST(Erratum, NobodyStoresThroughWhatIsReadOnly) {
  EXPECT_EQ(unmapped(bystander, with_erratum({.read_only = true})), "safe");
}

TEST(Erratum, UserPagesAreHeldByItToo) {
  auto freed = [](bool repeated) {
    return UserWorld::verdict({[=](ModelMachine& m) {
                                 m.write_once(UserWorld::slot(UserWorld::a), {});
                                 const vmsa::Tlbi t{
                                     .op = vmsa::vale1is, .va = VirtAddr(0), .asid = UserWorld::a.asid};
                                 flush_user(m, t);
                                 if (repeated) m.tlbi(t), m.dsb(Dsb::ish);
                                 m.release_range(W::one(4));
                               },
                               bystander},
                              [](UserWorld& u) {
                                u.setup.features.repeat_tlbi = true;
                                u.runs(1, UserWorld::a);
                              });
  };
  EXPECT_EQ(freed(false), "stale-page no-dsb");
  EXPECT_EQ(freed(true), "safe");
}

TEST(Erratum, MmRepeatsIt) {
  auto flushed_by_mm = [](bool erratum) {
    return verdict({[](ModelMachine& m) {
                      m.write_once(W::slot(0), {});
                      mm::flush_tlb_kernel_range<W::r>(m, {W::at(0), W::at(1)});
                      m.release_range(W::one(0));
                    },
                    bystander},
                   erratum ? with_erratum() : Given{});
  };
  EXPECT_EQ(flushed_by_mm(true), "safe");
  EXPECT_EQ(flushed_by_mm(false), "safe");
}

}  // namespace
}  // namespace shootdown::model
