// SPDX-License-Identifier: MIT
#include "report/check/describe.hpp"

#include <bit>
#include <utility>

#include <fmt/format.h>

#include "scenario/inventory.hpp"

namespace shootdown::report {

using shadow::Harm;
using shadow::Outcome;
using vmsa::Descriptor;
using vmsa::DescriptorKind;

std::string hex(std::uint64_t value) { return fmt::format("{:#x}", value); }

std::vector<std::string> rule_names(shadow::HarmSet rules) {
  std::vector<std::string> names;
  for (std::size_t i = 1; i < shadow::harm_texts.size(); ++i)
    if (rules.contains(static_cast<Harm>(i))) names.emplace_back(shadow::harm_texts[i].name);
  return names;
}

std::string level_name(const vmsa::Regime& r, vmsa::Level level) {
  if (level == r.root_level()) return "pgd";
  switch (level.value) {
    case 3: return "pte";
    case 2: return "pmd";
    case 1: return "pud";
    default: return "p4d";
  }
}

std::string describe(const vmsa::Regime& r, vmsa::Level level, Descriptor d) {
  if (d.none()) return "none";
  const DescriptorKind kind = d.kind(r, level);
  if (kind == DescriptorKind::invalid) return fmt::format("invalid {:#x}", d.bits);
  const std::string target = hex(vmsa::output_address(r, level, d).value);
  if (kind == DescriptorKind::table) return "table " + target;
  std::string text = (kind == DescriptorKind::block ? "block " : "page ") + target;
  text += vmsa::is_writable(d) ? " RW" : " RO";
  text += d.accessed() ? " AF" : " !AF";
  if (d.contiguous()) text += " CONT";
  if (d.not_global()) text += " nG";
  return text;
}

std::string describe(shadow::CpuSet cpus) {
  std::string text;
  for (unsigned cpu = 0; cpu < 64; ++cpu) {
    if (!cpus.contains(cpu)) continue;
    unsigned last = cpu;
    while (last + 1 < 64 && cpus.contains(last + 1)) ++last;
    if (!text.empty()) text += ",";
    text += last == cpu ? fmt::format("{}", cpu) : fmt::format("{}-{}", cpu, last);
    cpu = last;
  }
  return (std::popcount(cpus.bits) == 1 ? "CPU " : "CPUs ") + text;
}

std::string describe(const vmsa::Regime& r, const shadow::Entry& e) {
  return fmt::format("{} of {:#x}: {}", level_name(r, e.place.level), e.place.va.value,
                     describe(r, e.place.level, e.value));
}

std::string describe(const vmsa::Regime& r, const vmsa::Tlbi& t) {
  std::string text = fmt::format("TLBI {}", vmsa::tlbi_name(t.op).c_str());
  if (t.op.by_va()) {
    const vmsa::VirtRange range = vmsa::tlbi_range(r, t);
    text += fmt::format(" {:#x}-{:#x}", range.start.value, (range.end - 1).value);
  }
  if (t.op.by_asid()) text += fmt::format(" ASID {}", t.asid);
  if (t.ttl) text += fmt::format(" TTL {}", t.ttl->value);
  return text;
}

std::string describe(const vmsa::Regime& r, const vmsa::Tlbi& t, unsigned cpu, const shadow::Entry& e,
                     Outcome outcome) {
  const std::string entry = describe(r, e);
  const std::string holders = describe(t.op.broadcast ? e.holders : e.holders & shadow::CpuSet::one(cpu));
  switch (outcome) {
    case Outcome::doomed:
      return fmt::format("covers {}: {} may keep it until CPU {}'s DSB", entry, holders, cpu);
    case Outcome::scope:
      return fmt::format("local to CPU {}: {} keeps {}", cpu, describe(e.holders - shadow::CpuSet::one(cpu)),
                         entry);
    case Outcome::early:
      return fmt::format("no DSB of CPU {} has ordered the change before it: hardware may bring back {}", cpu,
                         entry);
    case Outcome::address: return fmt::format("other addresses: leaves {}", entry);
    case Outcome::last_level: return fmt::format("leaf-only: leaves the walk-cache entry {}", entry);
    case Outcome::asid: return fmt::format("another ASID: leaves {}", entry);
    case Outcome::level_hint: return fmt::format("its level hint does not fit: leaves {}", entry);
    case Outcome::granule: return fmt::format("its granule does not fit: leaves {}", entry);
    case Outcome::contiguous:
      return fmt::format("a member of the contiguous group is still valid and may refill it: leaves {}",
                         entry);
  }
  return entry;
}

std::string describe(const vmsa::Regime& r, const model::Violation& v, bool taken) {
  const shadow::Finding& f = v.finding;
  const std::string holders = describe(f.holders);
  const char* gone = taken ? "has a new owner" : "is given away";
  if (f.by_leftovers())
    return fmt::format("{} becomes reachable, a word that the page's last owner left: it leads to {:#x}",
                       describe(r, f.entry), f.page.value);
  switch (f.harm) {
    case Harm::none: return "nothing found";
    case Harm::stale_page:
      if (f.other_owner)
        return fmt::format("{} runs with an ASID under which it may still hold {}, another address space's",
                           holders, describe(r, f.entry));
      if (f.live)
        return fmt::format("page {:#x} {} while {} still reaches it at {:#x} through the live {}",
                           f.page.value, gone, holders, f.va.value, describe(r, f.entry));
      return fmt::format("page {:#x} {} while {} may still reach it at {:#x} through the stale {}",
                         f.page.value, gone, holders, f.va.value, describe(r, f.entry));
    case Harm::stale_table:
      if (v.hardware)
        return fmt::format(
            "{} walks {:#x} through the stale {}: its hardware writes an access flag into page {:#x}, "
            "which has a new owner",
            describe(shadow::CpuSet::one(v.cpu)), f.va.value, describe(r, f.entry), f.page.value);
      if (f.other_owner)
        return fmt::format("{} runs with an ASID under which it may still hold {}, another address space's",
                           holders, describe(r, f.entry));
      if (f.live)
        return fmt::format("table page {:#x} {} while it is still linked: {}", f.page.value, gone,
                           describe(r, f.entry));
      return fmt::format("table page {:#x} {} while {} may still walk into it through the stale {}",
                         f.page.value, gone, holders, describe(r, f.entry));
    case Harm::walker_table:
      return fmt::format("CPU {} follows a table pointer into page {:#x}, which is no table", v.cpu,
                         f.page.value);
    case Harm::break_before_make:
      return fmt::format("{} at {:#x} becomes reachable while {} may still hold the conflicting {}",
                         describe(r, f.entry.place.level, f.now), f.va.value, holders, describe(r, f.entry));
    case Harm::stale_permission:
      return fmt::format("what is relied on at {:#x} does not hold yet: {} may still use {}", f.va.value,
                         holders, describe(r, f.entry));
    case Harm::unexpected_fault:
      return fmt::format("CPU {} faults at {:#x}, which is mapped as far as software knows", v.cpu,
                         f.va.value);
    case Harm::livelock:
      return fmt::format("{} goes round for ever: nothing that would end it need ever happen", holders);
    case Harm::deadlock: return fmt::format("{} waits for ever", holders);
    case Harm::lost_update:
      if (f.now.bits != 0 || f.va.value == 0)
        return fmt::format("a flag that hardware has set in the descriptor at {:#x} is overwritten unseen",
                           f.page.value);
      return fmt::format("a flag is trusted that {} may still change through {}", holders,
                         describe(r, f.entry));
    case Harm::leak:
      return fmt::format("table page {:#x} is left behind at the end: unreachable, or kept against the rule",
                         f.page.value);
    case Harm::warning: return fmt::format("WARN_ON: {}", v.text != nullptr ? v.text : "impossible state");
  }
  return "an unknown harm";
}

std::string granule_name(const vmsa::Regime& r) { return fmt::format("{}k", r.page_size() / 1024); }

std::vector<std::string> feature_names(const machine::Features& f) {
  std::vector<std::string> names;
  if (f.range_tlbi) names.push_back("tlbirange");
  if (f.hardware_access_flag) names.push_back("hafdbs");
  if (f.hardware_table_flag) names.push_back("haft");
  if (f.repeat_tlbi) names.push_back("repeat-tlbi");
  switch (f.bbm) {
    case vmsa::BbmLevel::level0: break;
    case vmsa::BbmLevel::level1: names.push_back("bbm1"); break;
    case vmsa::BbmLevel::level2: names.push_back("bbm2"); break;
    case vmsa::BbmLevel::level2_no_abort: names.push_back("bbm2-noabort"); break;
  }
  return names;
}

std::string column_name(const scenario::HotRemoveConfig& c) {
  switch (c.path) {
    case scenario::Path::linear: return fmt::format("linear {}", c.mapping.name);
    case scenario::Path::vmemmap: return fmt::format("vmemmap {}", name(c.vmemmap));
    case scenario::Path::both: return fmt::format("linear {} + vmemmap {}", c.mapping.name, name(c.vmemmap));
  }
  return "?";
}

std::string search_name(const scenario::HotRemoveConfig& c) {
  std::string text = column_name(c);
  if (c.extent != scenario::Extent::across) text += fmt::format(", {}", name(c.extent));
  if (c.memmap_on_memory) text += ", memmap on memory";
  return text;
}

std::string world_text(const scenario::HotRemoveConfig& c) {
  const scenario::Inventory all = scenario::inventory(c);
  std::string text =
      fmt::format("{} pages in {} section{}; leaves:", all.pages, all.sections, all.sections > 1 ? "s" : "");
  const char* comma = " ";
  for (const auto& leaves : all.leaves) {
    text += fmt::format("{}{} of level {}", std::exchange(comma, ", "), leaves.count, leaves.level.value);
    if (leaves.groups > 0)
      text += fmt::format(" ({} in groups of {})", leaves.groups * all.group_members, all.group_members);
  }
  text += fmt::format("; tables: {} whole, {} in part, {} shared; ", all.tables_whole, all.tables_in_part,
                      all.tables_shared);
  text += all.range_tlbi ? fmt::format("range TLBI of up to {} pages (SCALE {}, NUM {})",
                                       all.range_tlbi->pages, all.range_tlbi->scale, all.range_tlbi->num)
                         : std::string("no range TLBI");
  if (c.experiment == scenario::Experiment::hot_add)
    text += fmt::format("; {} leftover words in a new table", all.leftovers);
  return text;
}

}  // namespace shootdown::report
