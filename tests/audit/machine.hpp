// SPDX-License-Identifier: MIT
// A small kernel's events, made by hand: tables of two CPUs, one linked path to a page for each half of the
// address space, and the operations by name. For tests that need a sequence of events and one verdict.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "audit/judge/judge.hpp"
#include "vmsa/descriptor.hpp"

namespace shootdown::audit::test {

/// 4K pages, 48-bit addresses, four levels; ASIDs are in TTBR1, as Linux has them.
class Machine {
 public:
  static constexpr std::uint64_t ram = 0x40000000;
  static constexpr std::uint64_t kernel_root = ram + 0x1000;
  static constexpr std::uint64_t kernel_leaf_table = ram + 0x4000;  ///< tables at 0x1000 to 0x4000, by level
  static constexpr std::uint64_t user_root = ram + 0x11000;
  static constexpr std::uint64_t user_leaf_table = ram + 0x14000;
  static constexpr std::uint64_t page = ram + 0x100000;
  static constexpr std::uint16_t asid = 5;

  Machine()
      : judge_({.kernel = "k",
                .release = "r",
                .workload = "munmap",
                .cpu_model = "c",
                .cpus = 2,
                .page_shift = 12,
                .memory_bytes = 0,
                .ram_start = ram,
                .ram_bytes = 1 << 30},
               [this](std::uint64_t a) {
                 return names_.contains(a) ? names_.at(a) : std::string("other+0x4/0x10");
               }) {
    chain(kernel_root);
    chain(user_root);
    for (unsigned cpu : {0u, 1u}) {
      put(cpu, EventKind::tcr, 0, tcr);
      put(cpu, EventKind::ttbr1, 0, kernel_root | std::uint64_t{asid} << 48);
      put(cpu, EventKind::ttbr0, 0, user_root);
    }
  }

  /// Who acts from here on: a call stack of one function.
  void in(const std::string& function) { in(std::vector{function}); }
  /// The same with callers, innermost first.
  void in(const std::vector<std::string>& functions) {
    const auto [it, is_new] = stacks_.try_emplace(functions, stacks_.size() + 1);
    stack_ = static_cast<std::uint32_t>(it->second);
    if (!is_new) return;
    for (unsigned i = 0; i < functions.size(); ++i) {
      const std::uint64_t address = 0xffff800080000000 + 0x1000 * it->second + 0x100 * i;
      // A return address is not where its function begins.
      names_[address] = functions[i] + (i == 0 ? "+0x0/0x100" : "+0x4/0x100");
      judge_.event({.kind = EventKind::frame,
                    .cpu = 0,
                    .op = static_cast<std::uint8_t>(i),
                    .stack = 0,
                    .a = stack_,
                    .b = address});
    }
  }

  void put(unsigned cpu, EventKind kind, unsigned op, std::uint64_t a = 0, std::uint64_t b = 0) {
    judge_.event({kind, static_cast<std::uint8_t>(cpu), static_cast<std::uint8_t>(op), stack_, a, b});
  }
  void store(unsigned cpu, std::uint64_t slot, std::uint64_t value) {
    put(cpu, EventKind::store, 0, slot, value);
  }
  void tlbi(unsigned cpu, const vmsa::Tlbi& t) {
    put(cpu, EventKind::tlbi, vmsa::tlbi_index(t.op), vmsa::tlbi_operand(regime, t));
  }
  void dsb_ishst(unsigned cpu) { put(cpu, EventKind::dsb, 10); }
  void dsb_ish(unsigned cpu) { put(cpu, EventKind::dsb, 11); }
  void dsb(unsigned cpu, unsigned crm) { put(cpu, EventKind::dsb, crm); }
  void dsb_nsh(unsigned cpu) { put(cpu, EventKind::dsb, 7); }
  void isb(unsigned cpu) { put(cpu, EventKind::isb, 0); }
  void free_page(unsigned cpu, std::uint64_t address) {
    put(cpu, EventKind::release, static_cast<unsigned>(Release::page), address, 0x1000);
  }
  void user(unsigned cpu) { put(cpu, EventKind::user, 0); }

  /// "harm cause function xN", a line each; empty when nothing was found.
  std::string verdict() {
    judge_.ended();
    std::string text;
    for (const Violation& v : judge_.result().violations)
      text += fmt::format("{} {} {} x{}\n", shadow::name(v.harm), shadow::name(v.cause), v.function, v.count);
    return text;
  }
  Judge& judge() { return judge_; }

  static std::uint64_t leaf(std::uint64_t pa, bool user, bool contiguous = false) {
    return vmsa::make_leaf(regime, vmsa::page_level, vmsa::PhysAddr(pa),
                           {.user = user, .not_global = user, .contiguous = contiguous})
        .bits;
  }
  /// 2 MiB of a process.
  static std::uint64_t user_block(std::uint64_t pa) {
    return vmsa::make_leaf(regime, vmsa::pmd_level, vmsa::PhysAddr(pa), {.user = true, .not_global = true})
        .bits;
  }
  static std::uint64_t table(std::uint64_t pa) { return vmsa::make_table(regime, vmsa::PhysAddr(pa)).bits; }
  /// The addresses that slot `i` of the leaf tables translates.
  static vmsa::VirtAddr kernel_va(unsigned i = 0) { return regime.base() + 0x1000 * i; }
  static vmsa::VirtAddr user_va(unsigned i = 0) { return vmsa::VirtAddr(0x1000 * i); }

  static constexpr vmsa::Regime regime = vmsa::regime(12, 48);
  /// T0SZ = T1SZ = 16, TG0 and TG1 for 4K pages, A1.
  static constexpr std::uint64_t tcr = 16 | 16 << 16 | std::uint64_t{2} << 30 | 1 << 22;

 private:
  void chain(std::uint64_t root) {
    for (unsigned level = 0; level < 4; ++level)
      put(0, EventKind::table, level + 1, root + 0x1000 * level, level == 0);
    for (unsigned level = 0; level < 3; ++level)
      put(0, EventKind::content, 0, root + 0x1000 * level, table(root + 0x1000 * (level + 1)));
  }

  std::map<std::uint64_t, std::string> names_;
  std::map<std::vector<std::string>, std::size_t> stacks_;
  std::uint32_t stack_ = 0;
  Judge judge_;
};

}  // namespace shootdown::audit::test
