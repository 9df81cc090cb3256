// SPDX-License-Identifier: MIT
#include "machine/model/mutation.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace shootdown::model {
namespace {

/// The context that runs the kernel's procedures is ASID 0 in the model; an ASID form by mistake names another.
constexpr std::uint16_t other_asid = 1;

bool same_name(const char* a, const char* b) { return std::strcmp(a, b) == 0; }

const char* noun(OpKind kind) {
  switch (kind) {
    case OpKind::dsb: return "DSB";
    case OpKind::isb: return "ISB";
    case OpKind::tlbi: return "TLBI";
    case OpKind::defer: return "list";
    case OpKind::clear_page: return "zeroing";
    default: return "operation";
  }
}

Op weaken_tlbi(Op op, Weakening w) {
  vmsa::Tlbi& t = op.tlbi;
  switch (w) {
    case Weakening::tlbi_last_level: t.op.last_level = true; break;
    case Weakening::tlbi_local: t.op.broadcast = false; break;
    case Weakening::tlbi_asid:
      t.op.target = t.op.target == vmsa::TlbiTarget::all ? vmsa::TlbiTarget::asid : vmsa::TlbiTarget::va;
      t.asid = other_asid;
      break;
    case Weakening::tlbi_hint_block: t.ttl = vmsa::pmd_level; break;
    case Weakening::tlbi_hint_page: t.ttl = vmsa::page_level; break;
    default: break;
  }
  return op;
}

}  // namespace

const char* name(Weakening w) {
  switch (w) {
    case Weakening::drop: return "dropped";
    case Weakening::dsb_store_only: return "stores-only";
    case Weakening::dsb_non_shareable: return "non-shareable";
    case Weakening::tlbi_last_level: return "last-level";
    case Weakening::tlbi_asid: return "asid-form";
    case Weakening::tlbi_local: return "local";
    case Weakening::tlbi_one_page_short: return "one-page-short";
    case Weakening::tlbi_hint_block: return "hint-level-2";
    case Weakening::tlbi_hint_page: return "hint-level-3";
    case Weakening::tlbi_tables_at_ends: return "tables-at-ends-only";
    case Weakening::clear_first_word: return "first-word-only";
    case Weakening::list_through_page: return "list-through-page";
  }
  return "?";
}

bool Mutation::applies(const Site& at, OpKind op) const {
  return op == kind && at.line == site.line &&
         std::equal(at.functions.begin(), at.functions.end(), site.functions.begin(), site.functions.end(),
                    same_name);
}

std::string Mutation::describe() const {
  std::string text = fmt::format("{} {} at {}:{}", noun(kind), name(weakening), site.function(), site.line);
  for (std::size_t i = site.functions.size(); i-- > 1;) text += fmt::format(" <- {}", site.functions[i - 1]);
  return text;
}

std::vector<Weakening> weakenings(const Op& op) {
  using enum Weakening;
  switch (op.kind) {
    case OpKind::isb: return {drop};
    case OpKind::clear_page: return {drop, clear_first_word};
    // A page that is no table may carry the list: no walk reads it.
    case OpKind::defer:
      return unpack_page(op.a).use == machine::PageUse::table ? std::vector{list_through_page}
                                                              : std::vector<Weakening>{};
    case OpKind::dsb: {
      std::vector<Weakening> all{drop};
      const auto kind = static_cast<machine::Dsb>(op.a);
      if (kind == machine::Dsb::ish || kind == machine::Dsb::nsh) all.push_back(dsb_store_only);
      if (kind == machine::Dsb::ish || kind == machine::Dsb::ishst) all.push_back(dsb_non_shareable);
      return all;
    }
    case OpKind::tlbi: {
      std::vector<Weakening> all{drop, tlbi_local};
      const vmsa::TlbiOp& t = op.tlbi.op;
      if (!t.last_level && t.by_va()) all.push_back(tlbi_last_level);
      if (t.target != vmsa::TlbiTarget::asid && t.target != vmsa::TlbiTarget::va) all.push_back(tlbi_asid);
      if (t.range) all.push_back(tlbi_one_page_short);
      if (t.range && !t.last_level) all.push_back(tlbi_tables_at_ends);
      if (t.by_va()) all.insert(all.end(), {tlbi_hint_block, tlbi_hint_page});
      return all;
    }
    default: return {};
  }
}

std::vector<Op> weaken(const Op& op, Weakening w) {
  const auto possible = weakenings(op);
  if (std::find(possible.begin(), possible.end(), w) == possible.end()) return {op};
  Op other = op;
  const auto dsb = static_cast<machine::Dsb>(op.a);
  switch (w) {
    case Weakening::drop: return {};
    case Weakening::dsb_store_only:
      other.a =
          static_cast<std::uint64_t>(dsb == machine::Dsb::ish ? machine::Dsb::ishst : machine::Dsb::nshst);
      return {other};
    case Weakening::dsb_non_shareable:
      other.a =
          static_cast<std::uint64_t>(dsb == machine::Dsb::ish ? machine::Dsb::nsh : machine::Dsb::nshst);
      return {other};
    case Weakening::tlbi_one_page_short:
      // In the model a range may have any length: what matters is that its last page is missed.
      if (other.tlbi.pages <= 1) return {};
      --other.tlbi.pages;
      return {other};
    case Weakening::tlbi_tables_at_ends: {
      Op first = op, last = op;
      first.tlbi.op.range = last.tlbi.op.range = false;
      first.tlbi.pages = last.tlbi.pages = 1;
      last.tlbi.va += (op.tlbi.pages - 1) << op.tlbi.page_shift;
      other.tlbi.op.last_level = true;
      return {first, last, other};
    }
    case Weakening::clear_first_word: return {Op{OpKind::write, op.a, 0}};
    case Weakening::list_through_page: {
      const PhysAddr page = unpack_page(op.a).page;
      Op link{OpKind::data_store, page.value, page.value | Descriptor::valid_bit | Descriptor::table_bit};
      return {other, link};
    }
    default: return {weaken_tlbi(other, w)};
  }
}

}  // namespace shootdown::model
