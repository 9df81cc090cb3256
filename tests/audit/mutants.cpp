// SPDX-License-Identifier: MIT
#include "tests/audit/mutants.hpp"

#include <algorithm>
#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstring>
#include <fstream>
#include <map>
#include <utility>

#include "audit/guest/protocol.hpp"
#include "audit/judge/stacks.hpp"
#include "audit/trace/codec.hpp"
#include "audit/trace/file.hpp"
#include "vmsa/descriptor.hpp"
#include "vmsa/tlbi.hpp"

namespace shootdown::audit::test {
namespace {

constexpr std::uint32_t nop = 0xd503201f;

/// DSBs by CRm that table maintenance uses; nothing for the rest.
std::string dsb_name(unsigned crm) {
  switch (crm) {
    case 6: return "DSB NSHST";
    case 7: return "DSB NSH";
    case 10: return "DSB ISHST";
    case 11: return "DSB ISH";
    default: return {};
  }
}

/// Collects the instructions of the window from the events, one CPU's order at a time.
class Collector {
 public:
  explicit Collector(Stacks& stacks) : stacks_(stacks) {}

  void event(const Event& e) {
    using protocol::Mark;
    switch (e.kind) {
      case EventKind::frame:
        stacks_.add_frame(static_cast<std::uint32_t>(e.a), e.op, e.b);
        if (e.op == 0) pcs_[static_cast<std::uint32_t>(e.a)] = e.b;
        break;
      case EventKind::mark:
        if (e.a == static_cast<std::uint64_t>(Mark::window_begin)) in_window_ = true;
        if (e.a == static_cast<std::uint64_t>(Mark::window_end)) in_window_ = false;
        break;
      case EventKind::table:
        for (std::uint64_t slot = e.a; slot < e.a + (e.b != 0 ? e.b : smallest_page); slot += 8)
          words_.erase(slot);
        break;
      case EventKind::content: words_[e.a] = e.b; break;
      case EventKind::store: store(e); break;
      case EventKind::tlbi: tlbi(e); break;
      case EventKind::dsb: dsb(e); break;
      case EventKind::isb: isb(e); break;
      case EventKind::exception: {
        unsigned& depth = cpus_[e.cpu].depth;
        depth = e.op != 0 ? depth + 1 : depth - (depth > 0 ? 1 : 0);
        break;
      }
      case EventKind::user:
      case EventKind::task: cpus_[e.cpu].depth = 0; break;
      default: break;
    }
  }

  std::vector<Mutant> result() {
    std::vector<Mutant> all;
    for (auto& [pc, mutant] : by_pc_)
      if (mutant.kind != EventKind::dsb || mutant.orders_maintenance) all.push_back(std::move(mutant));
    return all;
  }

 private:
  static constexpr std::uint64_t smallest_page = 4096;
  struct Cpu {
    bool has_work = false;           ///< a TLBI or a store came after the last barrier
    std::uint64_t last_barrier = 0;  ///< its address, until something follows it
    bool isb_is_next = false;        ///< nothing but that barrier came after maintenance
    unsigned depth = 0;              ///< in exceptions: what happens there is passed over
  };

  Mutant* count(const Event& e, std::string_view operation) {
    if (!in_window_ || e.stack == 0) return nullptr;
    Mutant& m = by_pc_[pcs_[e.stack]];
    if (m.count++ > 0) return &m;
    const auto& functions = stacks_.functions(e.stack);
    m.pc = pcs_[e.stack];
    m.kind = e.kind;
    m.operation = operation;
    m.place = stacks_.places(e.stack).empty() ? "?" : stacks_.places(e.stack).front();
    m.caller = functions.size() > 1 ? functions[1] : "?";
    return &m;
  }

  void store(const Event& e) {
    const vmsa::Descriptor old{std::exchange(words_[e.a], e.b)};
    const vmsa::Descriptor now{e.b};
    Cpu& c = cpus_[e.cpu];
    if (c.depth == 0) c.has_work = true, c.isb_is_next = false, c.last_barrier = 0;
    if (old == now || (!old.valid() && !now.valid())) return;
    Mutant* m = count(e, "store");
    if (!m) return;
    ++(!now.valid() ? m->clears : !old.valid() ? m->sets : m->changes);
  }

  void tlbi(const Event& e) {
    if (e.op >= vmsa::tlbi_ops.size()) return;
    Cpu& c = cpus_[e.cpu];
    if (const auto it = by_pc_.find(c.last_barrier); it != by_pc_.end()) it->second.orders_maintenance = true;
    if (c.depth == 0) c.has_work = true, c.isb_is_next = false, c.last_barrier = 0;
    count(e, vmsa::tlbi_name(vmsa::tlbi_ops[e.op]).c_str());
  }

  void dsb(const Event& e) {
    Mutant* m = dsb_name(e.op).empty() ? nullptr : count(e, dsb_name(e.op));
    Cpu& c = cpus_[e.cpu];
    if (m && c.has_work) m->orders_maintenance = true;
    if (c.depth == 0) c.isb_is_next = c.has_work, c.has_work = false, c.last_barrier = m ? m->pc : 0;
  }

  void isb(const Event& e) {
    Cpu& c = cpus_[e.cpu];
    if (c.depth == 0 && std::exchange(c.isb_is_next, false)) count(e, "ISB");
  }

  Stacks& stacks_;
  std::map<std::uint32_t, std::uint64_t> pcs_;
  boost::unordered_flat_map<std::uint64_t, std::uint64_t> words_;
  std::array<Cpu, max_cpus> cpus_{};
  std::map<std::uint64_t, Mutant> by_pc_;
  bool in_window_ = false;
};

}  // namespace

Expected<std::vector<Mutant>> mutants_of(const std::filesystem::path& path) {
  auto trace = TraceReader::open(path);
  if (!trace) return tl::unexpected(trace.error());
  const auto& names = trace->trailer().symbols;
  Stacks stacks([&](std::uint64_t a) { return names.contains(a) ? names.at(a) : fmt::format("0x{:x}", a); });
  Collector collector(stacks);
  for (std::size_t i = 0; i < trace->frame_count(); ++i) {
    auto frame = trace->frame(i);
    if (!frame) return tl::unexpected(frame.error());
    EventDecoder decoder(*frame);
    for (Event e; decoder.next(e);) collector.event(e);
  }
  return collector.result();
}

Expected<void> write_broken_image(const KernelImage& image, std::uint64_t base, std::uint64_t pc,
                                  const std::filesystem::path& to) {
  if (pc < base || pc - base + sizeof nop > image.bytes.size())
    return fail(ExitCode::usage, "0x{:x} is no instruction of the image", pc);
  std::vector<std::uint8_t> bytes = image.bytes;
  std::memcpy(bytes.data() + (pc - base), &nop, sizeof nop);
  std::ofstream file(to, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) return fail(ExitCode::missing_input, "cannot write {}", to.string());
  return {};
}

}  // namespace shootdown::audit::test
