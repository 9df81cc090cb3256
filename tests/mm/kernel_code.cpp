// SPDX-License-Identifier: MIT
#include "tests/mm/kernel_code.hpp"

#include "mm/hot_add.hpp"
#include "mm/offline.hpp"
#include "mm/vmalloc.hpp"

namespace shootdown::mm {
namespace {

template <Regime R>
constexpr KernelCode code() {
  using M = RecordingMachine;
  return {R,
          create_linear_map<R, M>,
          remove_linear_map<R, M>,
          add_memory<R, M>,
          try_remove_memory<R, M>,
          offline_and_remove_memory<R, M>,
          vmap_page<R, M>,
          vunmap_page<R, M>};
}

template <std::size_t... I>
constexpr std::array<KernelCode, sizeof...(I)> all(std::index_sequence<I...>) {
  return {code<vmsa::regimes[I]>()...};
}
constexpr auto real = all(std::make_index_sequence<vmsa::regimes.size()>());
constexpr std::array small{code<vmsa::with_small_sections(vmsa::regime(12, 48), 1)>(),
                           code<vmsa::with_small_sections(vmsa::regime(14, 47), 1)>(),
                           code<vmsa::with_small_sections(vmsa::regime(16, 52), 1)>()};

}  // namespace

std::span<const KernelCode> real_kernels() { return real; }
std::span<const KernelCode> small_section_kernels() { return small; }

}  // namespace shootdown::mm
