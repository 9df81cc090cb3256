// SPDX-License-Identifier: MIT
// Mutants: one operation of a procedure dropped or weakened wherever its site is executed. The procedure's code
// is untouched; the machine hears something else.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "machine/model/operation.hpp"

namespace shootdown::model {

enum class Weakening : std::uint8_t {
  drop,                 ///< the operation is not performed
  dsb_store_only,       ///< DSB: loads need not complete (ISH becomes ISHST)
  dsb_non_shareable,    ///< DSB: this CPU's domain only (ISH becomes NSH)
  tlbi_last_level,      ///< TLBI: leaves only
  tlbi_asid,            ///< TLBI: one ASID (not the kernel's context)
  tlbi_local,           ///< TLBI: this CPU only
  tlbi_one_page_short,  ///< TLBI: the range ends one page early
  tlbi_hint_block,      ///< TLBI: a level hint that says level 2
  tlbi_hint_page,       ///< TLBI: a level hint that says level 3
  tlbi_tables_at_ends,  ///< TLBI: walk-cache entries over a range's first and last page only, leaves of all of it
  clear_first_word,   ///< zeroing: of the page's first word only
  list_through_page,  ///< deferral: the list's link is stored in the page itself, bit 0 set
};

const char* name(Weakening w);

/// A weakening at a site, named by its functions and line.
struct Mutation {
  Weakening weakening = Weakening::drop;
  Site site;
  Kind kind;

  bool applies(const Site& at, Kind op) const;
  /// "dsb dropped in flush_tlb_kernel_range:35 <- ...": how reports name it.
  std::string describe() const;
};

/// The weakenings that make sense for an operation: none for plain reads and stores.
std::vector<Weakening> weakenings(const Operation& op);

/// What the machine hears instead: nothing, or a few operations.
std::vector<Operation> weaken(const Operation& op, Weakening w);

}  // namespace shootdown::model
