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

inline constexpr std::array<RuleText, 12> harm_texts{{
    {"none", "nothing found"},
    {"stale-page", "a page was released or reused while a CPU may still reach it by a stale translation"},
    {"stale-table",
     "a table page was released or reused while a walk cache or a walk in flight may point to it"},
    {"walker-table", "a table page was freed or reused while a software walker may still follow it"},
    {"break-before-make",
     "a valid descriptor was replaced by a conflicting one while the old may still be held"},
    {"stale-permission", "a restriction was relied on while a CPU may still use the old permission"},
    {"unexpected-fault", "an access to memory that software holds to be mapped faulted"},
    {"livelock", "a spurious fault is never resolved"},
    {"deadlock", "CPUs wait for each other"},
    {"lost-update", "an access-flag or dirty update was lost, or trusted too early"},
    {"leak", "a table is unreachable and not freed, or more tables are kept than the rule promises"},
    {"warning", "the procedure met a state that it holds to be impossible"},
}};

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
