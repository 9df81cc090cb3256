// SPDX-License-Identifier: MIT
// Descriptors, shadow entries, TLBIs and findings in the words of a kernel engineer. Pure functions to strings;
// what is said when, and in which layout, is story.hpp and the writers.
#pragma once

#include <string>

#include "machine/model/system.hpp"
#include "scenario/hot_remove.hpp"

namespace shootdown::report {

/// "pte", "pmd", "pud", "p4d", and "pgd" for whichever is the root.
std::string level_name(const vmsa::Regime& r, vmsa::Level level);

/// "none", "table 0x1000", "page 0x1000 RW AF CONT".
std::string describe(const vmsa::Regime& r, vmsa::Level level, vmsa::Descriptor d);

/// "CPU 1", "CPUs 0-2".
std::string describe(shadow::CpuSet cpus);

/// "pte of 0xffff800000001000: page 0x1000 RW AF".
std::string describe(const vmsa::Regime& r, const shadow::Entry& e);

/// "TLBI VAALE1IS 0xffff800000001000-0xffff800000001fff".
std::string describe(const vmsa::Regime& r, const vmsa::Tlbi& t);

/// What a TLBI by `cpu` did to one stale entry, as a sentence.
std::string describe(const vmsa::Regime& r, const vmsa::Tlbi& t, unsigned cpu, const shadow::Entry& e,
                     shadow::Outcome outcome);

/// The finding as one sentence: who may do what, through which entry. `taken` when a new owner has just taken the
/// page over, and not when it is released.
std::string describe(const vmsa::Regime& r, const model::Violation& v, bool taken = false);

/// The names of a set of rules, in the order of `list rules`.
std::vector<std::string> rule_names(shadow::HarmSet rules);

std::string hex(std::uint64_t value);

/// "4k", "16k", "64k".
std::string granule_name(const vmsa::Regime& r);

/// The FEAT_ names and errata that a machine has, as `--features` takes them.
std::vector<std::string> feature_names(const machine::Features& f);

/// "linear, contpte"; "vmemmap, block"; "linear contpte + vmemmap pages".
std::string column_name(const scenario::HotRemoveConfig& c);

/// One search of a column: "linear blocks, inside". Across tables, as most are, goes without saying.
std::string search_name(const scenario::HotRemoveConfig& c);

/// What its world holds, as one line.
std::string world_text(const scenario::HotRemoveConfig& c);

}  // namespace shootdown::report
