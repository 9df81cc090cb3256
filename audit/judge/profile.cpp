// SPDX-License-Identifier: MIT
#include "audit/judge/profile.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <tuple>

#include "audit/guest/protocol.hpp"

namespace shootdown::audit {
namespace {

constexpr std::array<const char*, 16> dsb_kinds{"#0", "OSHLD", "OSHST", "OSH", "#4",  "NSHLD", "NSHST", "NSH",
                                                "#8", "ISHLD", "ISHST", "ISH", "#12", "LD",    "ST",    "SY"};

constexpr std::uint64_t sgi_to_all_but_self = std::uint64_t{1} << 40;

std::optional<machine::Dsb> counted_dsb(unsigned crm) {
  for (std::size_t i = 0; i < machine::dsb_names.size(); ++i)
    if (std::string_view(machine::dsb_names[i]) == dsb_kinds[crm & 15]) return static_cast<machine::Dsb>(i);
  return std::nullopt;
}

}  // namespace

Profile::Profile(unsigned cpus, std::span<const std::string_view> phases) : cpus_(cpus) {
  window_.name = "window";
  teardown_.name = "teardown";
  for (std::string_view name : phases)
    if (!name.empty()) phases_.push_back({.name = std::string(name), .counts = {}, .other_dsb = {}});
}

void Profile::mark(const Event& e) {
  auto close_phase = [&] {
    if (phase_)
      phases_[*phase_].counts.instructions =
          phases_[*phase_].counts.instructions.value_or(0) + e.b - phase_started_;
    phase_.reset();
  };
  constexpr auto first_phase = static_cast<std::uint64_t>(protocol::Mark::phase_first);
  if (e.a == static_cast<std::uint64_t>(protocol::Mark::window_begin)) {
    in_window_ = true;
    window_started_ = e.b;
  } else if (e.a == static_cast<std::uint64_t>(protocol::Mark::window_end) && in_window_) {
    close_phase();
    in_window_ = false;
    window_.counts.instructions = window_.counts.instructions.value_or(0) + e.b - window_started_;
  } else if (e.a >= first_phase && e.a - first_phase < phases_.size() && in_window_) {
    close_phase();
    phase_ = e.a - first_phase;
    phase_started_ = e.b;
  }
}

void Profile::tlbi(const Event& e, std::uint64_t pages, bool redundant) {
  if (!in_window_) return;
  count([&](Phase& p) { ++p.counts.tlbi[e.op]; });
  Site& s = site(e.op, e.stack);
  ++s.count;
  s.redundant += redundant;
  s.pages += pages;
  Event& last = last_tlbi_[e.cpu];
  s.repeated += last.kind == EventKind::tlbi && last.op == e.op && last.a == e.a;
  last = e;
}

void Profile::tlbi_other() {
  count([](Phase& p) { ++p.other_tlbi; });
}

void Profile::add_dsb(Phase& p, unsigned crm) {
  if (const auto kind = counted_dsb(crm)) {
    ++p.counts.dsb[static_cast<std::size_t>(*kind)];
  } else {
    ++p.other_dsb[dsb_kinds[crm & 15]];
  }
}

void Profile::dsb(const Event& e) {
  if (!in_window_) return;
  count([&](Phase& p) { add_dsb(p, e.op); });
  // The others (device accesses, idling) are no part of table maintenance: counted, but no call sites.
  if (counted_dsb(e.op)) ++site(first_dsb + (e.op & 15u), e.stack).count;
}

void Profile::isb() {
  count([](Phase& p) { ++p.counts.isb; });
}

void Profile::sgi(const Event& e) {
  if (!in_window_) return;
  const std::uint64_t targets =
      e.a & sgi_to_all_but_self ? cpus_ - 1 : static_cast<std::uint64_t>(std::popcount(e.a & 0xffff));
  count([&](Phase& p) { p.counts.sgi += targets; });
  site(sgi_site, e.stack).count += targets;
}

void Profile::descriptor_store() {
  count([](Phase& p) { ++p.counts.descriptor_stores; });
}

void Profile::table_freed() {
  count([](Phase& p) { ++p.counts.tables_freed; });
}

void Profile::stale_for(std::uint64_t us) {
  if (in_window_)
    ++stale_us_[std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(us)), stale_us_.size() - 1)];
}

void Profile::teardown_ended(std::uint64_t instructions) {
  if (in_window_) teardown_.counts.instructions = teardown_.counts.instructions.value_or(0) + instructions;
}

void Profile::fill(AuditResult& result, Stacks& stacks) const {
  result.window = window_;
  result.phases = phases_;
  result.stale_us = stale_us_;
  result.teardown = teardown_;
  // Stacks that differ in offsets only are one place to a reader.
  std::map<std::pair<std::string, std::vector<std::string>>, CallSite> merged;
  for (const auto& [key, s] : sites_) {
    const auto operation = static_cast<std::uint32_t>(key >> 32);
    std::string name = operation == sgi_site ? "SGI"
                       : operation >= first_dsb
                           ? std::string("DSB ") + dsb_kinds[operation - first_dsb]
                           : std::string(vmsa::tlbi_name(vmsa::tlbi_ops[operation]).c_str());
    const auto& functions = stacks.functions(static_cast<std::uint32_t>(key));
    CallSite& site = merged[{name, functions}];
    site.operation = std::move(name);
    site.function = functions.empty() ? "?" : functions.front();
    if (!functions.empty()) site.callers.assign(functions.begin() + 1, functions.end());
    site.count += s.count;
    site.redundant += s.redundant;
    site.repeated += s.repeated;
    site.pages += s.pages;
  }
  for (auto& [key, site] : merged) result.call_sites.push_back(std::move(site));
  std::ranges::stable_sort(result.call_sites, std::greater(), &CallSite::count);
}

}  // namespace shootdown::audit
