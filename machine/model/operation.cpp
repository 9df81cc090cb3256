// SPDX-License-Identifier: MIT
#include "machine/model/operation.hpp"

#include <boost/pfr.hpp>

#include "machine/model/hash.hpp"

namespace shootdown::model {
namespace {

using Words = std::vector<std::uint64_t>;

void append(Words& out, PhysAddr a) { out.push_back(a.value); }
void append(Words& out, VirtAddr a) { out.push_back(a.value); }
void append(Words& out, PhysRange r) { out.insert(out.end(), {r.start.value, r.end.value}); }
void append(Words& out, Descriptor d) { out.push_back(d.bits); }
void append(Words& out, vmsa::VirtRange r) { out.insert(out.end(), {r.start.value, r.end.value}); }
void append(Words& out, shadow::CpuSet cpus) { out.push_back(cpus.bits); }
void append(Words& out, vmsa::AccessKind a) {
  out.push_back(static_cast<std::uint64_t>(a.right) << 1 | (a.user ? 1 : 0));
}
void append(Words& out, const char* text) { out.push_back(hash_text(text)); }
void append(Words& out, const vmsa::Tlbi& t) {
  out.insert(out.end(), {vmsa::tlbi_index(t.op), t.va.value, t.pages,
                         static_cast<std::uint64_t>(t.ttl ? t.ttl->value + 2 : 0) << 32 |
                             std::uint64_t{t.page_shift} << 16 | t.asid});
}
template <typename Number>
requires std::is_enum_v<Number> || std::is_integral_v<Number>
void append(Words& out, Number n) { out.push_back(static_cast<std::uint64_t>(n)); }

}  // namespace

void append_words(const Operation& o, Words& out) {
  out.push_back(o.index());
  std::visit(
      [&](const auto& op) { boost::pfr::for_each_field(op, [&](const auto& field) { append(out, field); }); },
      o);
}

}  // namespace shootdown::model
