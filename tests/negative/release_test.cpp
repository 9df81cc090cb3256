// SPDX-License-Identifier: MIT
// Pages that are given back: still mapped, still in use, twice, by somebody else, or with stores to them under way.
#include <gtest/gtest.h>

#include "tests/negative/verdict.hpp"

namespace shootdown::model {
namespace {

/// Takes over whatever is given back.
void new_owner(ModelMachine& m) { m.take_released(); }

void unlink_table(ModelMachine& m) {
  m.write_once(W::pmd, {});
  flush_everything(m);
}

// ---- mapped when given back -------------------------------------------------------------------------------------

TEST(Release, OfAPageThatIsMappedStill) {  // P1, P2, P2b
  EXPECT_EQ(verdict({[](ModelMachine& m) { m.release_range(W::one(0)); }, new_owner}),
            "stale-page freed-early");
  EXPECT_EQ(verdict({[](ModelMachine& m) { m.release_range(W::one(0)), unmap(m, 0); }, new_owner}),
            "stale-page freed-early");
  EXPECT_EQ(verdict({[](ModelMachine& m) { unmap(m, 0), m.release_range(W::one(0)); }, new_owner}), "safe");
}

TEST(Release, ThroughTheLinearMapIsByDesign) {
  for (const bool by_design : {false, true}) {
    const std::string v = verdict({[](ModelMachine& m) { m.release_range(W::one(0)); }, new_owner, reader(0)},
                                  {.world = [=](W& w) {
                                    if (by_design)
                                      w.setup.mapped_by_design = [](VirtAddr va) { return va == W::at(0); };
                                  }});
    EXPECT_EQ(v, by_design ? "safe" : "stale-page freed-early");
  }
}

TEST(Release, OneMappingOfTwoIsNotEnough) {
  auto aliases = [](bool both) {
    return verdict({[=](ModelMachine& m) {
                      unmap(m, 0);
                      if (both) unmap(m, 1);
                      m.release_range(W::one(0));
                    },
                    reader(0)},
                   {.world = [](W& w) { w.setup.world.memory.write(W::slot(1), W::leaf(0)); }});
  };
  EXPECT_EQ(aliases(false), "stale-page freed-early");
  EXPECT_EQ(aliases(true), "safe");
}

// ---- twice, or by nobody ----------------------------------------------------------------------------------------

TEST(Release, Twice) {  // X1
  auto freed = [](unsigned times) {
    return verdict({[=](ModelMachine& m) {
      for (unsigned i = 0; i < times; ++i) m.free_pages(W::spare, PageUse::table, 0);
    }});
  };
  EXPECT_EQ(freed(1), "safe");
  EXPECT_EQ(freed(2), "warning none");
}

TEST(Release, ByTwoCpus) {
  const Task frees = [](ModelMachine& m) { m.free_pages(W::spare, PageUse::table, 0); };
  EXPECT_EQ(verdict({frees, frees}), "warning none");
}

// ---- in use when given back -------------------------------------------------------------------------------------

/// CPU 0 uses a table and drops the lock, before or after its last use; CPU 1 frees the table under the lock.
std::string used_and_freed(bool write, bool after_the_unlock) {
  auto use = [=](ModelMachine& m) {
    if (write)
      m.write_once(W::spare, W::leaf(1));
    else
      m.read_once(W::spare);
  };
  return verdict({[=](ModelMachine& m) {
                    m.lock(Lock::init_mm_page_table);
                    m.write_word(flag_word, 1);
                    if (!after_the_unlock) use(m);
                    m.unlock(Lock::init_mm_page_table);
                    if (after_the_unlock) use(m);
                  },
                  [](ModelMachine& m) {
                    m.lock(Lock::init_mm_page_table);
                    if (m.read_word(flag_word) == 1) m.free_pages(W::spare, PageUse::table, 0);
                    m.unlock(Lock::init_mm_page_table);
                  }});
}

TEST(UseAfterFree, OfATableBehindTheLockThatKeptIt) {  // H1, H2
  for (const bool write : {false, true}) {
    EXPECT_EQ(used_and_freed(write, true), "walker-table no-grace-period") << write;
    EXPECT_EQ(used_and_freed(write, false), "safe") << write;
  }
}

TEST(UseAfterFree, AStoreUnderWayWhenThePageIsGivenAway) {  // U1, U2
  auto said_done = [](Order order) {
    return verdict({[=](ModelMachine& m) {
                      m.write_once(W::spare, W::leaf(1));
                      m.write_word(flag_word, 1, order);
                    },
                    [](ModelMachine& m) {
                      if (m.read_word(flag_word, Order::acquire) == 1)
                        m.free_pages(W::spare, PageUse::table, 0);
                    },
                    new_owner});
  };
  EXPECT_EQ(said_done(Order::relaxed), "walker-table no-grace-period");
  EXPECT_EQ(said_done(Order::release), "safe");
  EXPECT_EQ(verdict({[](ModelMachine& m) { m.data_store(W::page(5), 7); },
                     [](ModelMachine& m) { m.free_pages(W::page(5), PageUse::data, 0); }, new_owner}),
            "warning none");
}

TEST(UseAfterFree, ATranslatedStoreUnderWay) {
  EXPECT_EQ(verdict({[](ModelMachine& m) {
                       m.lock(Lock::memory_hotplug);
                       m.store(W::at(0), 7);
                       m.unlock(Lock::memory_hotplug);
                     },
                     [](ModelMachine& m) {
                       m.lock(Lock::memory_hotplug);
                       unmap(m, 0);
                       m.release_range(W::one(0));
                       m.unlock(Lock::memory_hotplug);
                     }}),
            "safe");
}

TEST(UseAfterFree, ByItsLastOwner) {  // X2
  auto written = [](bool before) {
    return verdict({new_owner, [=](ModelMachine& m) {
                      if (before) m.data_store(W::page(5), 1);
                      m.release_range(W::one(5));
                      if (!before) m.data_store(W::page(5), 1);
                      m.dsb(Dsb::ish);
                    }});
  };
  EXPECT_EQ(written(false), "warning none");
  EXPECT_EQ(written(true), "safe");
}

TEST(UseAfterFree, HardwareWritesIntoATableThatItsOwnerThinksPrivate) {  // H5
  const Task owner = [](ModelMachine& m) {
    m.write_once(W::pmd, {});
    m.dsb(Dsb::ishst);
    const Descriptor a = m.read_once(W::slot(0)), b = m.read_once(W::slot(0));
    if (a != b) m.warn("the word changed under its owner");
  };
  auto run = [&](Task task) {
    return verdict({std::move(task), reader(0)},
                   {.attributes = {.dbm = true, .accessed = false},
                    .world = [](W& w) { w.setup.features.hardware_access_flag = true; }});
  };
  EXPECT_EQ(run(owner), "warning none");
  EXPECT_EQ(run([](ModelMachine& m) {
              unlink_table(m);
              const Descriptor a = m.read_once(W::slot(0)), b = m.read_once(W::slot(0));
              if (a != b) m.warn("the word changed under its owner");
            }),
            "safe");
}

// ---- memblock is shared -----------------------------------------------------------------------------------------

TEST(Memblock, IsNobodysOwn) {  // H3, H4
  auto given = [](W& w) { w.setup.world.memblock.push_back(W::one(0)); };
  EXPECT_EQ(verdict({[](ModelMachine& m) { m.memblock_remove(W::one(0)), m.memblock_add(W::one(0)); },
                     [](ModelMachine& m) {
                       if (!m.pfn_valid(W::page(0))) m.warn("the page was gone for a while");
                     }},
                    {.world = given}),
            "warning none");
  EXPECT_EQ(verdict({[](ModelMachine& m) { m.memblock_remove(W::one(0)); },
                     [](ModelMachine& m) {
                       if (m.pfn_valid(W::page(0)) != m.pfn_valid(W::page(0))) m.warn("changed in between");
                     }},
                    {.world = given}),
            "warning none");
}

// ---- tables of several CPUs -------------------------------------------------------------------------------------

TEST(Tables, BelongToNobody) {  // T1
  auto unmaps = [](unsigned i) -> Task {
    return [=](ModelMachine& m) { unmap(m, i), m.release_range(W::one(i)); };
  };
  EXPECT_EQ(verdict({unmaps(0), unmaps(1)}), "safe");
}

TEST(Tables, AreFilledByOthersUnderTheirLock) {  // T2
  const Task links = [](ModelMachine& m) {
    m.lock(Lock::init_mm_page_table);
    const PhysAddr t = m.alloc_pages(PageUse::table, 0);
    m.clear_page(t);
    m.dsb(Dsb::ishst);
    m.write_once(W::pmd + 8, vmsa::make_table(W::r, t));
    publish(m);
    m.unlock(Lock::init_mm_page_table);
  };
  const Task fills = [](ModelMachine& m) {
    m.lock(Lock::init_mm_page_table);
    if (const Descriptor d = m.read_once(W::pmd + 8); d.valid()) {
      m.write_once(vmsa::output_address(W::r, vmsa::pmd_level, d), W::leaf(6));
      publish(m);
      must_not_fault(m, W::at(4));
    }
    m.unlock(Lock::init_mm_page_table);
  };
  EXPECT_EQ(verdict({links, fills}, {.world =
                                         [](W& w) {
                                           Page* p = w.setup.world.page_at(W::spare);
                                           p->allocatable = true;
                                           p->usage.state = PageState::free;
                                         }}),
            "safe");
}

TEST(Tables, LinkedElsewhereWhileAWalkerIsInside) {  // F1, RULES 22: "reused without being freed"
  auto moved = [](bool waits) {
    return verdict({[=](ModelMachine& m) {
                      unlink_table(m);
                      if (waits) m.synchronize_rcu();
                      m.write_once(W::pmd + 8, vmsa::make_table(W::r, W::pte));
                      publish(m);
                    },
                    [](ModelMachine& m) {
                      m.rcu_read_lock();
                      if (m.read_once(W::pmd).is_table(vmsa::pmd_level)) m.read_once(W::slot(0));
                      m.rcu_read_unlock();
                    }});
  };
  EXPECT_EQ(moved(false), "walker-table no-grace-period");
  EXPECT_EQ(moved(true), "safe");
}

TEST(Allocator, AnyReleasedPageMayComeNext) {  // V1
  for (const unsigned wanted : {5u, 6u})
    EXPECT_EQ(verdict({[=](ModelMachine& m) {
                        for (unsigned i : {5u, 6u}) m.free_pages(W::page(i), PageUse::data, 0);
                        m.dmb(Dmb::ish);
                        if (m.alloc_pages(PageUse::data, 0) == W::page(wanted)) m.warn("this one");
                      }},
                      {.world =
                           [](W& w) {
                             for (unsigned i : {5u, 6u})
                               w.setup.world.page_at(W::page(i))->allocatable = true;
                           }}),
              "warning none");
}

// ---- a CPU reads what it wrote ----------------------------------------------------------------------------------

TEST(Data, ACpuReadsItsOwnStores) {  // I1, I2
  EXPECT_EQ(verdict({[](ModelMachine& m) {
              m.data_store(W::page(0), 42);
              if (m.load(W::at(0)).value != 42) m.warn("its own store is not read");
            }}),
            "safe");
  EXPECT_EQ(verdict({[](ModelMachine& m) {
              m.store(W::at(0), 42);
              if (m.load(W::at(0)).value != 42) m.warn("its own store is not read");
              if (m.read_word(W::page(0)) != 42) m.warn("nor by its physical address");
            }}),
            "safe");
}

}  // namespace
}  // namespace shootdown::model
