// SPDX-License-Identifier: MIT
// The experiment for every VA size of 4K pages.
#include "machine/metal/guest/hot_remove_run.hpp"

namespace shootdown::metal::guest {

bool run_hot_remove_4k(Shared& shared, const Options& options, const mm::MemoryMap& map,
                       vmsa::PhysRange boot) {
  return detail::run_if<12, 39>(shared, options, map, boot) ||
         detail::run_if<12, 48>(shared, options, map, boot) ||
         detail::run_if<12, 52>(shared, options, map, boot);
}

}  // namespace shootdown::metal::guest
