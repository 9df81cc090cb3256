// SPDX-License-Identifier: MIT
// The kernel functions whose execution says what instructions alone do not: memory is given back, a page copied, a
// promise kept. One table, for whoever looks them up in a kernel's symbols and for the plugin that waits for them.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace shootdown::audit {

/// What the execution of such a function says.
enum class WatchedAs : std::uint8_t {
  free_page,
  put_page,  ///< the last reference frees
  free_batch,
  free_root,
  copy_page,
  mprotect,
  remove_memory,
  vectors,  ///< the exception vectors: user code ran until now
};

/// What an audit is blind to when a kernel has none of these names, which are those of different versions.
struct WatchedFunctions {
  std::string_view what;
  WatchedAs as;
  std::array<std::string_view, 3> names;
  /// without: nothing could be judged; blind: it is said; absent: kernels may lack the thing itself
  enum class If : std::uint8_t { needed, blind, absent } missing = If::blind;
};

inline constexpr std::array watched_functions{
    WatchedFunctions{"pages given back one by one",
                     WatchedAs::free_page,
                     {"free_unref_page", "free_frozen_pages", "__free_frozen_pages"},
                     WatchedFunctions::If::needed},
    WatchedFunctions{"pages given back by the order",
                     WatchedAs::free_page,
                     {"__free_pages_ok", "free_frozen_pages", "__free_frozen_pages"}},
    WatchedFunctions{
        "pages given back with their last reference", WatchedAs::put_page, {"__free_pages", "___free_pages"}},
    WatchedFunctions{"pages given back in batches", WatchedAs::free_batch, {"free_unref_folios"}},
    WatchedFunctions{"roots smaller than a page given back", WatchedAs::free_root, {"pgd_free"}},
    WatchedFunctions{"copies of pages", WatchedAs::copy_page, {"copy_highpage"}},
    WatchedFunctions{"copies of a process's pages", WatchedAs::copy_page, {"copy_user_highpage"}},
    WatchedFunctions{"the return of mprotect", WatchedAs::mprotect, {"__arm64_sys_mprotect"}},
    WatchedFunctions{"the return of pkey_mprotect",
                     WatchedAs::mprotect,
                     {"__arm64_sys_pkey_mprotect"},
                     WatchedFunctions::If::absent},
    WatchedFunctions{"hot-plugged memory handed back", WatchedAs::remove_memory, {"arch_remove_memory"}},
    WatchedFunctions{"when user code ran", WatchedAs::vectors, {"vectors"}, WatchedFunctions::If::needed},
};

}  // namespace shootdown::audit
