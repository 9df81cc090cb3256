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

const char* noun(Kind kind) {
  if (kind == kind_of<op::Dsb>) return "DSB";
  if (kind == kind_of<op::Isb>) return "ISB";
  if (kind == kind_of<op::Tlbi>) return "TLBI";
  if (kind == kind_of<op::DeferFree>) return "list";
  if (kind == kind_of<op::ClearPage>) return "zeroing";
  return "operation";
}

/// What can be wrong with one operation, and what it then is.
struct Mistakes {
  using Weakenings = std::vector<Weakening>;

  Weakenings of(const op::Isb&) const { return {Weakening::drop}; }
  Weakenings of(const op::ClearPage&) const { return {Weakening::drop, Weakening::clear_first_word}; }
  // A page that is no table may carry the list: no walk reads it.
  Weakenings of(const op::DeferFree& o) const {
    return o.use == machine::PageUse::table ? Weakenings{Weakening::list_through_page} : Weakenings{};
  }
  Weakenings of(const op::Dsb& o) const {
    using enum machine::Dsb;
    Weakenings all{Weakening::drop};
    if (o.kind == ish || o.kind == nsh) all.push_back(Weakening::dsb_store_only);
    if (o.kind == ish || o.kind == ishst) all.push_back(Weakening::dsb_non_shareable);
    return all;
  }
  Weakenings of(const op::Tlbi& o) const {
    using enum Weakening;
    Weakenings all{drop, tlbi_local};
    const vmsa::TlbiOp& t = o.tlbi.op;
    if (!t.last_level && t.by_va()) all.push_back(tlbi_last_level);
    if (t.target != vmsa::TlbiTarget::asid && t.target != vmsa::TlbiTarget::va) all.push_back(tlbi_asid);
    if (t.range) all.push_back(tlbi_one_page_short);
    if (t.range && !t.last_level) all.push_back(tlbi_tables_at_ends);
    if (t.by_va()) all.insert(all.end(), {tlbi_hint_block, tlbi_hint_page});
    return all;
  }
  /// Plain reads and stores, and what surrounds a procedure.
  template <typename Op>
  Weakenings of(const Op&) const {
    return {};
  }
};

std::vector<Operation> weakened(op::Dsb o, Weakening w) {
  using enum machine::Dsb;
  if (w == Weakening::dsb_store_only) o.kind = o.kind == ish ? ishst : nshst;
  if (w == Weakening::dsb_non_shareable) o.kind = o.kind == ish ? nsh : nshst;
  return {o};
}
std::vector<Operation> weakened(op::DeferFree o, Weakening) {
  return {o, op::DataStore{o.page, o.page.value | Descriptor::valid_bit | Descriptor::table_bit}};
}
std::vector<Operation> weakened(const op::ClearPage& o, Weakening) { return {op::WriteOnce{o.page, {}}}; }
/// Walk caches at both ends of the range only, leaves everywhere.
std::vector<Operation> flushed_at_ends(const op::Tlbi& o) {
  op::Tlbi first = o, last = o, leaves = o;
  first.tlbi.op.range = last.tlbi.op.range = false;
  first.tlbi.pages = last.tlbi.pages = 1;
  last.tlbi.va += (o.tlbi.pages - 1) << o.tlbi.page_shift;
  leaves.tlbi.op.last_level = true;
  return {first, last, leaves};
}
std::vector<Operation> weakened(op::Tlbi o, Weakening w) {
  if (w == Weakening::tlbi_tables_at_ends) return flushed_at_ends(o);
  vmsa::Tlbi& t = o.tlbi;
  switch (w) {
    case Weakening::tlbi_last_level: t.op.last_level = true; break;
    case Weakening::tlbi_local: t.op.broadcast = false; break;
    case Weakening::tlbi_asid:
      t.op.target = t.op.target == vmsa::TlbiTarget::all ? vmsa::TlbiTarget::asid : vmsa::TlbiTarget::va;
      t.asid = other_asid;
      break;
    case Weakening::tlbi_hint_block: t.ttl = vmsa::pmd_level; break;
    case Weakening::tlbi_hint_page: t.ttl = vmsa::page_level; break;
    case Weakening::tlbi_one_page_short:
      // In the model a range may have any length: what matters is that its last page is missed.
      if (t.pages <= 1) return {};
      --t.pages;
      break;
    default: break;
  }
  return {o};
}
template <typename Op>
std::vector<Operation> weakened(const Op& o, Weakening) {
  return {o};
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

bool Mutation::applies(const Site& at, Kind op) const {
  return op == kind && at.line == site.line &&
         std::equal(at.functions.begin(), at.functions.end(), site.functions.begin(), site.functions.end(),
                    same_name);
}

std::string Mutation::describe() const {
  std::string text = fmt::format("{} {} at {}:{}", noun(kind), name(weakening), site.function(), site.line);
  for (std::size_t i = site.functions.size(); i-- > 1;) text += fmt::format(" <- {}", site.functions[i - 1]);
  return text;
}

std::vector<Weakening> weakenings(const Operation& op) {
  return std::visit([](const auto& o) { return Mistakes{}.of(o); }, op);
}

std::vector<Operation> weaken(const Operation& op, Weakening w) {
  const auto possible = weakenings(op);
  if (std::find(possible.begin(), possible.end(), w) == possible.end()) return {op};
  if (w == Weakening::drop) return {};
  return std::visit([w](const auto& o) { return weakened(o, w); }, op);
}

}  // namespace shootdown::model
