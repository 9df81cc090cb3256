// SPDX-License-Identifier: MIT
#include "tests/audit/mutants.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>

#include "audit/guest/protocol.hpp"
#include "audit/judge/stacks.hpp"
#include "audit/trace/codec.hpp"
#include "audit/trace/file.hpp"
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

std::string operation_of(const Event& e) {
  if (e.kind == EventKind::tlbi) return vmsa::tlbi_name(vmsa::tlbi_ops[e.op]).c_str();
  if (e.kind == EventKind::dsb) return dsb_name(e.op);
  if (e.kind == EventKind::store) return "store";
  return {};
}

}  // namespace

Expected<std::vector<Mutant>> mutants_of(const std::filesystem::path& path) {
  auto trace = TraceReader::open(path);
  if (!trace) return tl::unexpected(trace.error());
  const auto& names = trace->trailer().symbols;
  Stacks stacks([&](std::uint64_t a) { return names.contains(a) ? names.at(a) : fmt::format("0x{:x}", a); });
  std::map<std::uint32_t, std::uint64_t> pcs;
  std::map<std::uint64_t, Mutant> by_pc;
  bool in_window = false;
  for (std::size_t i = 0; i < trace->frame_count(); ++i) {
    auto frame = trace->frame(i);
    if (!frame) return tl::unexpected(frame.error());
    EventDecoder decoder(*frame);
    for (Event e; decoder.next(e);) {
      if (e.kind == EventKind::frame) {
        stacks.add_frame(static_cast<std::uint32_t>(e.a), e.op, e.b);
        if (e.op == 0) pcs[static_cast<std::uint32_t>(e.a)] = e.b;
      }
      if (e.kind == EventKind::mark && e.a == static_cast<std::uint64_t>(protocol::Mark::window_begin))
        in_window = true;
      if (e.kind == EventKind::mark && e.a == static_cast<std::uint64_t>(protocol::Mark::window_end))
        in_window = false;
      const std::string operation = in_window && e.stack != 0 ? operation_of(e) : std::string();
      if (operation.empty()) continue;
      Mutant& m = by_pc[pcs[e.stack]];
      if (m.count++ > 0) continue;
      const auto& functions = stacks.functions(e.stack);
      m.pc = pcs[e.stack];
      m.kind = e.kind;
      m.operation = operation;
      m.place = stacks.places(e.stack).empty() ? "?" : stacks.places(e.stack).front();
      m.caller = functions.size() > 1 ? functions[1] : "?";
    }
  }
  std::vector<Mutant> all;
  for (auto& [pc, mutant] : by_pc) all.push_back(std::move(mutant));
  std::ranges::stable_sort(all, std::greater(), &Mutant::count);
  return all;
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
