// SPDX-License-Identifier: MIT
// The order of things: how each event changes the tables and what CPUs may hold. What is a harm, and how it is
// told, is verdict.cpp.
#include "audit/judge/judge.hpp"

#include <algorithm>

#include "audit/guest/protocol.hpp"
#include "audit/regime.hpp"
#include "audit/trace/codec.hpp"
#include "shadow/memory.hpp"
#include "vmsa/break_before_make.hpp"

namespace shootdown::audit {
namespace {

using shadow::Place;

std::span<const std::string_view> phases_of(std::string_view workload) {
  for (const auto& w : protocol::workloads)
    if (w.name == workload) return w.phases;
  return {};
}

/// The kind that a DSB's CRm field counts as; nothing for loads only (B2.3.12). The Outer Shareable and full-system
/// domains include the Inner Shareable one.
constexpr std::optional<machine::Dsb> dsb_kind(unsigned crm) {
  const bool is_local = (crm >> 2 & 3) == 1;
  switch (crm & 3) {
    case 2: return is_local ? machine::Dsb::nshst : machine::Dsb::ishst;
    case 3: return is_local ? machine::Dsb::nsh : machine::Dsb::ish;
    default: return std::nullopt;
  }
}

}  // namespace

Judge::Judge(const TraceHeader& header, Symbolizer symbolizer)
    : header_(header),
      stacks_(std::move(symbolizer)),
      tables_(header.page_shift),
      stale_(vmsa::regime(header.page_shift, header.page_shift == 14 ? 47 : 48),
             vmsa::regime(header.page_shift, header.page_shift == 14 ? 47 : 48)),
      profile_(header.cpus, phases_of(header.workload)) {
  stale_.on_dropped([this](const StaleEntry& e, StaleSet::End end) {
    profile_.stale_for(time_us_ - e.birth.time_us);
    if (entry_dropped_) entry_dropped_(e, end);
  });
}

bool Judge::chunk(std::span<const std::uint8_t> bytes) {
  EventDecoder decoder(bytes);
  for (Event e; decoder.next(e);) event(e);
  return !decoder.damaged();
}

void Judge::event(const Event& e) {
  ++event_count_;
  // Physical addresses have 52 bits: anything else is damage, and sums over it would wrap.
  const bool is_about_memory = e.kind == EventKind::store || e.kind == EventKind::table ||
                               e.kind == EventKind::content || e.kind == EventKind::release ||
                               e.kind == EventKind::copy;
  if (is_about_memory && e.a >> 52 != 0) return;
  profile_.in_teardown(remover_ && *remover_ == cpus_[e.cpu].task && cpus_[e.cpu].depth == 0);
  switch (e.kind) {
    case EventKind::store: store(e); break;
    case EventKind::table: add_table(e); break;
    case EventKind::content:
      if (const auto slot = tables_.slot(e.a)) slot->word() = e.b;
      break;
    case EventKind::tlbi: tlbi(e); break;
    case EventKind::tlbi_other:
      saw_other_tlbi_ = true;
      profile_.tlbi_other();
      break;
    case EventKind::dsb: dsb(e); break;
    case EventKind::isb:
      profile_.isb();
      stale_.isb(e.cpu);
      break;
    case EventKind::ttbr0:
    case EventKind::ttbr1:
    case EventKind::tcr: system_register(e); break;
    case EventKind::sgi: profile_.sgi(e); break;
    case EventKind::release:
      ++release_count_;
      release(e);
      break;
    case EventKind::copy: copied(e); break;
    case EventKind::user:
      cpus_[e.cpu].depth = 0;
      cpus_[e.cpu].episode = event_count_;
      user(e);
      break;
    case EventKind::exception: exception(e); break;
    case EventKind::task: task(e); break;
    case EventKind::thread: threads_.event(e); break;
    case EventKind::mark: profile_.mark(e); break;
    case EventKind::enter:
      if (static_cast<Watched>(e.op) == Watched::mprotect) {
        calls_[cpus_[e.cpu].task] = {e.stack, {}};
      } else {
        remover_ = cpus_[e.cpu].task;
      }
      break;
    case EventKind::leave:
      profile_.teardown_ended(e.b);
      remover_.reset();
      break;
    case EventKind::clock: time_us_ = e.a; break;
    case EventKind::frame: stacks_.add_frame(static_cast<std::uint32_t>(e.a), e.op, e.b); break;
    case EventKind::end:
    case EventKind::count_: break;
  }
}

std::uint16_t Judge::asid_now(const Cpu& c) const {
  return asid_of(asid_is_in_ttbr1(c.tcr) ? c.ttbr1 : c.ttbr0);
}

/// Translations are held by CPUs that ran with their root at most, and have not flushed everything since.
CpuSet Judge::possible_holders(const Context& c) const { return c.users & online_; }

/// Of those, who may hold this value: one whose access flag is clear only a CPU whose walks may have set the flag, which
/// no event tells (R_LHQRX).
CpuSet Judge::possible_holders(CpuSet of, Level level, Descriptor d) const {
  return d.is_table(level) || d.accessed() ? of : of & sets_access_flag_;
}

void Judge::system_register(const Event& e) {
  Cpu& c = cpus_[e.cpu];
  if (e.kind == EventKind::tcr) {
    c.tcr = e.a;
    const auto mark = [&](CpuSet& set, bool is) {
      set = is ? set | CpuSet::one(e.cpu) : set - CpuSet::one(e.cpu);
    };
    mark(sets_access_flag_, sets_access_flag(e.a));
    mark(sets_dirty_state_, sets_dirty_state(e.a));
    return;
  }
  const bool kernel = e.kind == EventKind::ttbr1;
  // The way out to user code: from the kernel's root to the trampoline's, and to the process's odd ASID.
  if (kernel && root_of(e.a) != root_of(c.ttbr1) && asid_is_in_ttbr1(c.tcr) && asid_of(e.a) % 2 == 1 &&
      asid_of(e.a) == asid_of(c.ttbr1) + 1)
    two_asids_ = true;
  (kernel ? c.ttbr1 : c.ttbr0) = e.a;
  if (kernel) c.online = true, online_ = online_ | CpuSet::one(e.cpu);
  const vmsa::Regime regime = regime_of(c.tcr, kernel);
  if (!is_usable(regime) || regime.page_shift != header_.page_shift) return;
  tables_.use_root(regime, {root_of(e.a), kernel ? any_asid : asid_now(c), kernel, {}}, e.cpu);
  if (kernel) stale_.set_regimes(regime, regime_of(c.tcr, false));
}

void Judge::add_table(const Event& e) {
  const Level level{static_cast<int>(e.op) - 1};
  // What no page size has can only be damage.
  if (level > vmsa::page_level || vmsa::regime(header_.page_shift, 48).span_shift(level) >= 64) return;
  const std::uint64_t page_bytes = std::uint64_t{1} << header_.page_shift;
  const bool is_small = e.b >= sizeof(Descriptor) && e.b % sizeof(Descriptor) == 0 && e.b < page_bytes &&
                        e.a % page_bytes + e.b <= page_bytes;
  if (!is_small && e.a % page_bytes != 0) return;
  tables_.add(e.a, is_small ? e.b : page_bytes, level);
}

void Judge::store(const Event& e) {
  const auto slot = tables_.slot(e.a);
  if (!slot) return;
  const Descriptor old{slot->word()};
  const Descriptor now{e.b};
  if (old == now) return;
  profile_.descriptor_store();
  slot->word() = now.bits;
  if (!left_mapped_.empty()) left_mapped_.erase(e.a);
  if (!boot_aliases_.empty()) boot_aliases_.erase(e.a);
  const Cpu& cpu = cpus_[e.cpu];
  const Birth birth{event_count_, time_us_, now.bits, e.stack, cpu.thread, e.cpu, cpu.depth, cpu.episode};
  const Table& table = *slot->table;
  if (!table.placed() || table.shared) store_unlinked(*slot, now, birth);
  judged_store_count_ += table.placed();
  tables_.for_each_place(table, [&](const Context& c, VirtAddr va) {
    store_linked({c, tables_.place_of(*slot, c, va), PhysAddr(e.a), old, now}, e, birth);
    if (two_asids_ && !c.kernel) {
      Context user = c;
      user.asid |= 1;
      store_linked({user, tables_.place_of(*slot, user, va), PhysAddr(e.a), old, now}, e, birth);
    }
    if (now.is_leaf(table.level)) tables_.map(*slot, c, tables_.place_of(*slot, c, va), now);
  });
  stale_max_ = std::max<std::uint64_t>(stale_max_, stale_.size());
}

void Judge::store_linked(const Change& x, const Event& e, const Birth& birth) {
  retire(x, birth);
  stale_.make_current(x.place, x.context.kernel, x.slot, x.now);
  if (x.now.is_table(x.place.level)) {
    tables_.link(x.context, x.place, x.now);
    tables_.for_each_below(x.place, x.now, [&](const Place& below, PhysAddr slot, Descriptor d) {
      stale_.make_current(below, x.context.kernel, slot, d);
    });
  }
  if (x.now.valid()) check_exposed(x, e);
}

// What was cacheable before may now be held although it is gone; with a table, everything below it.
void Judge::retire(const Change& x, const Birth& birth) {
  const CpuSet holders = possible_holders(x.context);
  if (!x.old.valid()) return;
  if (x.old.is_table(x.place.level)) {
    tables_.for_each_below(x.place, x.old, [&](const Place& below, PhysAddr slot, Descriptor d) {
      stale_.add(below, x.context.kernel, slot, d, possible_holders(holders, below.level, d), birth);
    });
    tables_.unlink(x.context, x.place, x.old);
  }
  const EntryId id = stale_.add(x.place, x.context.kernel, x.slot, x.old,
                                possible_holders(holders, x.place.level, x.old), birth);
  if (calls_.empty() || id == no_entry || birth.depth != 0) return;
  if (const auto call = calls_.find(cpus_[birth.cpu].task); call != calls_.end())
    call->second.changed.push_back(id);
}

// A page that is walked through stale table entries: whatever is stored there can be taken for a descriptor, even where
// the table stands no more and is live elsewhere.
void Judge::store_unlinked(const Slot& slot, Descriptor now, const Birth& birth) {
  if (!now.valid()) return;
  std::vector<std::tuple<Place, bool, CpuSet>> through;
  stale_.for_each_table_in(PhysAddr(slot.table->page), 1, [&](EntryId, const StaleEntry& e) {
    const vmsa::Regime& r = e.kernel ? tables_.kernel_regime() : tables_.regime_of(Context{});
    const Level level = e.place.level.next();
    const Place place{level, e.place.va + slot.index * r.span(level), e.place.context};
    bool is_live = false;
    tables_.for_each_place(*slot.table, [&](const Context& c, VirtAddr va) {
      is_live |= c.kernel == e.kernel && tables_.place_of(slot, c, va) == place;
    });
    if (!is_live) through.emplace_back(place, e.kernel, e.holders);
  });
  for (const auto& [place, kernel, holders] : through)
    stale_.add(place, kernel, PhysAddr(slot.table->page + 8 * slot.index), now,
               possible_holders(holders, place.level, now), birth);
}

void Judge::tlbi(const Event& e) {
  if (e.op >= vmsa::tlbi_ops.size()) return;
  const vmsa::TlbiOp op = vmsa::tlbi_ops[e.op];
  tlbi_stacks_.insert(e.stack);
  const Cpu& cpu = cpus_[e.cpu];
  const vmsa::Tlbi decoded = vmsa::decode_tlbi(tables_.kernel_regime(), op, e.a);
  // A store of this CPU counts once a barrier of its own has followed it; another CPU's is taken to have been
  // ordered by whatever told this one about it (blind spot).
  const auto visible = [&](const StaleEntry& entry) {
    const Cpu::Drained& drained = cpu.drained[std::max(entry.birth.depth, cpu.depth)];
    return entry.birth.cpu != e.cpu || entry.birth.event < (op.broadcast ? drained.broadcast : drained.local);
  };
  const StaleSet::Taken taken = stale_.tlbi(
      deed_of(e), online_, decoded, visible, [&](const StaleEntry& x) { return group_refills(x); },
      [&](const StaleEntry& table, const StaleEntry& x) { return refills_through(table, x); });
  if (op.target == vmsa::TlbiTarget::all)
    (op.broadcast ? cpus_[e.cpu].flushes_all : cpus_[e.cpu].flushes_all_here) = true;
  profile_.tlbi(e, op.by_va() ? (op.range ? decoded.pages : 1) : 0, taken.count == 0);
  Cpu& issuer = cpus_[e.cpu];
  issuer.issued[issuer.issued_count++ % issued_max] = {deed_of(e), decoded, taken, issuer.episode};
}

void Judge::dsb(const Event& e) {
  profile_.dsb(e);
  const auto kind = dsb_kind(e.op);
  if (!kind) return;
  Cpu& c = cpus_[e.cpu];
  for (unsigned depth = c.depth; depth <= depth_max; ++depth) {
    c.drained[depth].local = event_count_;
    if (shadow::orders_before_tlbi(*kind, true)) c.drained[depth].broadcast = event_count_;
  }
  stale_.dsb(deed_of(e), *kind);
  const bool all = c.flushes_all && shadow::completes(*kind, true);
  const bool here = c.flushes_all_here && shadow::completes(*kind, false);
  if (!all && !here) return;
  c.flushes_all_here = false;
  if (all) c.flushes_all = false;
  tables_.flushed(all ? online_ : CpuSet::one(e.cpu), [&](const Context& x, unsigned cpu) {
    return root_of(x.kernel ? cpus_[cpu].ttbr1 : cpus_[cpu].ttbr0) == x.root;
  });
}

void Judge::exception(const Event& e) {
  Cpu& c = cpus_[e.cpu];
  if (e.op != 0) {
    c.depth = std::min<std::uint8_t>(c.depth + 1, depth_max);
  } else if (c.depth > 0) {
    --c.depth;
  } else if (const auto call = calls_.find(c.task); call != calls_.end()) {
    permissions_changed(e, call->second);
    calls_.erase(call);
  }
}

void Judge::task(const Event& e) {
  Cpu& c = cpus_[e.cpu];
  parked_[c.task] = {c.depth, c.episode};
  // The barriers of the switch were everybody's.
  c.drained.fill({event_count_, event_count_});
  stale_.switched(e.cpu);
  c.task = e.a;
  c.thread = threads_.number_of(e.a);
  const auto known = parked_.find(e.a);
  const Parked parked = known == parked_.end() ? Parked{0, event_count_} : known->second;
  c.depth = parked.depth;
  c.episode = parked.episode;
}

bool Judge::group_refills(const StaleEntry& entry) {
  const auto slot = tables_.slot(entry.slot.value);
  return slot && slot->table->placed() && shadow::group_refills(tables_.kernel_regime(), tables_, entry);
}

bool Judge::refills_through(const StaleEntry& table, const StaleEntry& entry) {
  const vmsa::Regime& r = tables_.kernel_regime();
  const auto page = shadow::table_on_walk(r, tables_, shadow::table_of(r, table.place, table.value),
                                          entry.place.va, entry.place.level);
  return page && vmsa::slot_address(r, *page, entry.place.level, entry.place.va) == entry.slot &&
         (tables_.read(entry.slot) == entry.value || shadow::group_refills(r, tables_, entry));
}

}  // namespace shootdown::audit
