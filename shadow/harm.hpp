// SPDX-License-Identifier: MIT
// The rules that a user sees: harms are findings, causes explain them. One table for the model, the audit,
// the reports and `list rules`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace shootdown::shadow {

enum class Harm : std::uint8_t {
  none,
  stale_page,
  stale_table,
  walker_table,
  break_before_make,
  stale_permission,
  unexpected_fault,
  livelock,
  deadlock,
  lost_update,
  leak,
  warning,
};

enum class Cause : std::uint8_t {
  none,
  no_tlbi,
  tlbi_before_clear,
  no_dsb,
  no_isb,
  scope,
  last_level,
  asid,
  coverage,
  contiguous,
  freed_early,
  no_grace_period,
  in_use,
};

struct RuleText {
  const char* name;
  const char* meaning;
};

/// A harm, and which commands can find it. What one search of `check` can raise depends on what its procedures do, and
/// is said with its result.
struct HarmText {
  const char* name;
  const char* meaning;
  bool by_check;
  bool by_audit;
};

inline constexpr std::array<HarmText, 12> harm_texts{{
    {"none", "nothing found", false, false},
    {"stale-page",
     "a page was released or reused while a CPU may still reach it, by a stale translation or a live one",
     true, true},
    {"stale-table",
     "a table page was released or reused while a walk cache or a walk in flight may point to it", true,
     true},
    {"walker-table", "a table page was freed or reused while a software walker may still follow it", true,
     false},
    {"break-before-make",
     "a valid descriptor was replaced by a conflicting one while the old may still be held", true, true},
    {"stale-permission", "a restriction was relied on while a CPU may still use the old permission", true,
     true},
    {"unexpected-fault", "an access to memory that software holds to be mapped faulted", true, false},
    {"livelock",
     "CPUs go round for ever: a spurious fault is never resolved, or what is waited for never comes", true,
     false},
    {"deadlock", "CPUs wait for each other", true, false},
    {"lost-update", "an access-flag or dirty update was lost, or trusted too early", true, false},
    {"leak", "a table is unreachable and not freed, or more tables are kept than the rule promises", true,
     false},
    {"warning", "the procedure met a state that it holds to be impossible, or did what no kernel may do",
     true, false},
}};

/// A set of harms.
struct HarmSet {
  std::uint16_t bits = 0;
  constexpr void add(Harm h) { bits = static_cast<std::uint16_t>(bits | 1u << static_cast<unsigned>(h)); }
  constexpr bool contains(Harm h) const { return (bits >> static_cast<unsigned>(h) & 1) != 0; }
  friend constexpr bool operator==(HarmSet, HarmSet) = default;
};

inline constexpr std::array<RuleText, 13> cause_texts{{
    {"none", "no single cause"},
    {"no-tlbi", "nothing covered the entry"},
    {"tlbi-before-clear", "the TLBI came before the clear, or before a DSB made the clear visible"},
    {"no-dsb", "the TLBI was never completed: its DSB is missing, too narrow or on another CPU"},
    {"no-isb", "the issuing CPU's own pipeline was not synchronised"},
    {"scope", "a local TLBI where other CPUs hold the entry"},
    {"last-level", "a leaf-only TLBI where a table was unlinked"},
    {"asid", "an ASID form where an all-ASID form was needed, or the wrong ASID"},
    {"coverage", "range, stride, level hint or granule missed part of what was asked for"},
    {"contiguous", "another member of the contiguous group was still valid when the TLBI was issued"},
    {"freed-early", "freed before its invalidation was complete"},
    {"no-grace-period", "nothing kept the table alive for its software walkers"},
    {"in-use", "another CPU unmapped or freed what was still in use"},
}};

constexpr const char* name(Harm h) { return harm_texts[static_cast<std::size_t>(h)].name; }
constexpr const char* name(Cause c) { return cause_texts[static_cast<std::size_t>(c)].name; }

}  // namespace shootdown::shadow
