// SPDX-License-Identifier: MIT
// What negative tests are written with: tasks of a few lines in a small world, and the verdict in one word or two.
#pragma once

#include "tests/negative/small_world.hpp"

namespace shootdown::model {

using machine::Dmb;
using machine::Dsb;
using machine::Features;
using machine::Lock;
using machine::Order;
using machine::PageUse;
using W = SmallWorld;

/// What the world of a test is, where it is not the plain one.
struct Given {
  vmsa::Attributes attributes = vmsa::page_kernel;
  std::function<void(SmallWorld&)> world{};
};

/// One task a CPU.
Found search_tasks(std::vector<Task> tasks, const Given& given = {});

/// "safe"; or harm and cause, "stale-page no-tlbi"; or what stopped the search.
std::string verdict(const Found& found);
std::string verdict(std::vector<Task> tasks, const Given& given = {});

// ---- pieces of procedures

/// A bystander that loads through page `i`.
inline Task reader(unsigned i) {
  return [i](ModelMachine& m) { m.load(W::at(i)); };
}
/// One that is only there: its TLB holds what it likes.
inline void bystander(ModelMachine&) {}

inline vmsa::Tlbi tlbi_of(unsigned i, vmsa::TlbiOp op = vmsa::vaale1is) { return {.op = op, .va = W::at(i)}; }
constexpr vmsa::TlbiOp local(vmsa::TlbiOp op) {
  op.broadcast = false;
  return op;
}
/// What follows a broadcast TLBI of the kernel half.
inline void complete(ModelMachine& m) {
  m.dsb(Dsb::ish);
  m.isb();
}
inline void flush(ModelMachine& m, const vmsa::Tlbi& t) {
  m.dsb(Dsb::ishst);
  m.tlbi(t);
  complete(m);
}
inline void flush_everything(ModelMachine& m) { flush(m, {.op = vmsa::vmalle1is}); }
/// Barriers after a change from invalid to valid.
inline void publish(ModelMachine& m) {
  m.dsb(Dsb::ishst);
  m.isb();
}
inline void must_not_fault(ModelMachine& m, VirtAddr va) {
  if (m.load(va).faulted != 0) m.unexpected_fault(va);
}
/// A page is unmapped and flushed as it should be.
inline void unmap(ModelMachine& m, unsigned i) {
  m.write_once(W::slot(i), {});
  flush(m, tlbi_of(i));
}

/// A word of data that CPUs share, in a page that nothing maps.
inline constexpr PhysAddr flag_word{W::page(7)};
inline constexpr PhysAddr other_word{W::page(6)};

}  // namespace shootdown::model
