// SPDX-License-Identifier: MIT
// Kernel TLB maintenance: the sequences that Linux wraps around TLBI (asm/tlbflush.h). Which operations cover
// a range is vmsa/tlbi_range.hpp.
#pragma once

#include "machine/machine.hpp"
#include "mm/memory_map.hpp"
#include "vmsa/tlbi_range.hpp"

namespace shootdown::mm {

using machine::Dsb;
using machine::Machine;
using machine::Scope;

/// Completes every TLBI that this CPU has broadcast: R_LXHLD, and R_BLDZX for its own later translations.
template <Machine M>
[[gnu::always_inline]] inline void complete_kernel_tlbi(M& m) {
  m.dsb(Dsb::ish);
  if (m.features().repeat_tlbi) {
    m.tlbi(vmsa::Tlbi{.op = vmsa::vale1is});
    m.dsb(Dsb::ish);
  }
  m.isb();
}

/// Issues what covers `range`, without barriers.
template <Regime R, Machine M>
[[gnu::always_inline]] inline void issue_range(M& m, VirtRange range, vmsa::TlbiOp op) {
  vmsa::for_each_tlbi(
      R, {.range = range, .op = op},
      m.features().range_tlbi, [&](const vmsa::Tlbi& t) __attribute__((always_inline)) { m.tlbi(t); });
}

/// flush_tlb_kernel_range(): the leaves of a range, on all CPUs. An empty range costs its barriers only.
template <Regime R, Machine M>
[[gnu::always_inline]] inline void flush_tlb_kernel_range(M& m, VirtRange range) {
  Scope scope(m, "flush_tlb_kernel_range");
  m.dsb(Dsb::ishst);
  if (vmsa::flush_everything(R, {.range = range}, m.features().range_tlbi))
    m.tlbi(vmsa::Tlbi{.op = vmsa::vmalle1is, .page_shift = R.page_shift});
  else
    issue_range<R>(m, range, vmsa::vaale1is);
  complete_kernel_tlbi(m);
}

/// __flush_tlb_kernel_pgtable(): the walk-cache entries over one address. All ASIDs: walk-cache entries are
/// tagged with their context even for the kernel half (R_JXKNN).
template <Regime R, Machine M>
void flush_tlb_kernel_pgtable(M& m, VirtAddr va) {
  Scope scope(m, "flush_tlb_kernel_pgtable");
  m.dsb(Dsb::ishst);
  m.tlbi(vmsa::Tlbi{.op = vmsa::vaae1is, .va = va, .page_shift = R.page_shift});
  complete_kernel_tlbi(m);
}

/// Leaves and walk-cache entries of two ranges at once, with no level hint: tables of several levels and
/// leaves of several sizes may be among them.
template <Regime R, Machine M>
void flush_tlb_kernel_ranges_and_tables(M& m, VirtRange a, VirtRange b) {
  Scope scope(m, "flush_tlb_kernel_ranges_and_tables");
  const bool range_tlbi = m.features().range_tlbi;
  m.dsb(Dsb::ishst);
  if (vmsa::flush_everything(R, {.range = a}, range_tlbi) ||
      vmsa::flush_everything(R, {.range = b}, range_tlbi)) {
    m.tlbi(vmsa::Tlbi{.op = vmsa::vmalle1is, .page_shift = R.page_shift});
  } else {
    issue_range<R>(m, a, vmsa::vaae1is);
    issue_range<R>(m, b, vmsa::vaae1is);
  }
  complete_kernel_tlbi(m);
}

}  // namespace shootdown::mm
