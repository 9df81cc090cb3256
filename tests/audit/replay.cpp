// SPDX-License-Identifier: MIT
#include "tests/audit/replay.hpp"

#include <algorithm>
#include <array>

#include "audit/trace/codec.hpp"
#include "vmsa/tlbi.hpp"

namespace shootdown::audit::test {
namespace {

constexpr std::array<const char*, 16> dsb_names{"#0", "OSHLD", "OSHST", "OSH", "#4",  "NSHLD", "NSHST", "NSH",
                                                "#8", "ISHLD", "ISHST", "ISH", "#12", "LD",    "ST",    "SY"};

class Replayer {
 public:
  Replayer(const TraceReader& trace, std::uint64_t without)
      : trace_(trace),
        without_(without),
        judge_(trace.header(), [this](std::uint64_t a) { return name(a); }) {
    replay_.texts.emplace_back();
    judge_.on_entry_dropped([this](const StaleEntry& e, StaleSet::End end) {
      note(e, end == StaleSet::End::invalidated ? End::invalidated : End::current);
    });
  }

  Expected<Replay> run() {
    for (std::size_t i = 0; i < trace_.frame_count(); ++i) {
      auto frame = trace_.frame(i);
      if (!frame) return tl::unexpected(frame.error());
      EventDecoder decoder(*frame);
      for (Event e; decoder.next(e);) event(e);
    }
    judge_.stale().for_each([this](const StaleEntry& e) { note(e, End::still_stale); });
    judge_.ended();
    replay_.violations = judge_.result().violations;
    return std::move(replay_);
  }

 private:
  std::string name(std::uint64_t address) const {
    const auto& names = trace_.trailer().symbols;
    const auto it = names.find(address);
    return it == names.end() ? fmt::format("0x{:x}", address) : it->second;
  }

  void event(Event e) {
    if (e.kind == EventKind::frame && e.op == 0) pcs_[static_cast<std::uint32_t>(e.a)] = e.b;
    const bool is_operation =
        e.kind == EventKind::tlbi || e.kind == EventKind::dsb || e.kind == EventKind::isb;
    const bool omitted = without_ != 0 && is_operation && e.stack != 0 && pcs_[e.stack] == without_;
    // The content of no table's slot is ignored, and keeps the numbers of the events as they are.
    if (omitted) e = {.kind = EventKind::content, .cpu = e.cpu};
    ++event_count_;
    // Barriers for stores, by what the judge counts as such.
    if (e.kind == EventKind::dsb && (e.op & 3) >= 2)
      barriers_[e.cpu].push_back(
          {event_count_, e.stack, e.cpu, e.op, static_cast<std::uint8_t>(judge_.depth(e.cpu))});
    now_ = e;
    judge_.event(e);
  }

  Step step(const Deed& d, std::string_view what, std::string_view operation) {
    if (operation.empty()) return {};
    const auto [it, is_new] =
        steps_.try_emplace({what, d.op, d.stack}, static_cast<std::uint32_t>(replay_.texts.size()));
    if (is_new) {
      const auto& functions = judge_.stacks().functions(d.stack);
      replay_.texts.push_back(fmt::format("{}{}{} in {}", what, what.empty() ? "" : " ", operation,
                                          functions.empty() ? "early code" : functions.front()));
    }
    return {d.stack == 0 ? 0 : pcs_[d.stack], it->second};
  }

  void note(const StaleEntry& e, End end) {
    Life life{.end = end, .visible = {}, .tlbi = {}, .dsb = {}, .isb = {}};
    const auto& barriers = barriers_[e.birth.cpu];
    auto d = std::ranges::upper_bound(barriers, e.birth.event, {}, &Deed::event);
    while (d != barriers.end() && d->depth > e.birth.depth) ++d;
    if (d != barriers.end()) life.visible = step(*d, "DSB", dsb_names[d->op & 15]);
    if (e.dsb.event != 0) {
      life.tlbi = step(e.tlbi, "TLBI", vmsa::tlbi_name(vmsa::tlbi_ops[e.tlbi.op]).c_str());
      life.dsb = step(e.dsb, "DSB", dsb_names[e.dsb.op & 15]);
      // The issuer of the TLBI was its last holder.
      if (now_.kind == EventKind::isb) life.isb = step({event_count_, now_.stack, now_.cpu}, "", "ISB");
    }
    replay_.lives[{e.birth.event, e.slot.value, e.value.bits}] = life;
  }

  const TraceReader& trace_;
  std::uint64_t without_;
  Judge judge_;
  Replay replay_;
  std::uint64_t event_count_ = 0;
  Event now_;
  std::map<std::uint32_t, std::uint64_t> pcs_;
  std::array<std::vector<Deed>, max_cpus> barriers_;
  std::map<std::tuple<std::string_view, std::uint8_t, std::uint32_t>, std::uint32_t> steps_;
};

/// How a value went without the instruction, in the words of the table.
std::string describe(const Replay& r, const Life& life, bool tell_visible) {
  switch (life.end) {
    case End::current: return "the tables said it again";
    case End::still_stale: return "stayed stale, but was never released while a CPU could use it";
    case End::invalidated: break;
  }
  std::string text = r.texts[life.tlbi.text];
  if (tell_visible && life.visible.text != 0) text += ", visible by " + r.texts[life.visible.text];
  text += ", completed by " + r.texts[life.dsb.text];
  return life.isb.text == 0 ? text : text + ", seen by the issuer after " + r.texts[life.isb.text];
}

}  // namespace

Expected<Replay> replay(const TraceReader& trace, std::uint64_t without) {
  return Replayer(trace, without).run();
}

std::string why_harmless(const Replay& sound, const Replay& without, std::uint64_t pc) {
  if (!without.violations.empty()) return {};
  std::map<std::string, std::uint64_t> ways;
  std::uint64_t total = 0;
  for (const auto& [key, life] : sound.lives) {
    if (life.tlbi.pc != pc && life.dsb.pc != pc && life.visible.pc != pc && life.isb.pc != pc) continue;
    ++total;
    const auto now = without.lives.find(key);
    if (now == without.lives.end()) {
      // Held all along, it went stale again with a later store: that life is its own.
      ++ways["went stale again before it was invalidated"];
    } else {
      ++ways[describe(without, now->second, life.visible.pc == pc)];
    }
  }
  if (total == 0) return "served no stale value: none was there to be invalidated";
  std::vector<std::pair<std::uint64_t, std::string>> sorted;
  for (const auto& [way, count] : ways) sorted.emplace_back(count, way);
  std::ranges::sort(sorted, std::greater());
  std::string text = fmt::format("of the {} stale values that it served, without it:", total);
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (i == 3) return text + fmt::format("; {} other ways", sorted.size() - i);
    text += fmt::format("{} {}: {}", i == 0 ? "" : ";", sorted[i].first, sorted[i].second);
  }
  return text;
}

}  // namespace shootdown::audit::test
