// SPDX-License-Identifier: MIT
// Linux's struct page as far as an audit must read it: from its address to the page that it describes, and the
// few fields that say how much is being freed. Offsets have been the same since 5.x on 64-bit machines.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "audit/plugin/guest_ram.hpp"
#include "vmsa/layout.hpp"

namespace shootdown::audit::plugin {

inline constexpr std::uint64_t struct_page_bytes = 64;
inline constexpr std::uint64_t struct_page_refcount_offset = 52;
inline constexpr std::uint64_t page_flag_head = 1 << 6;

/// Where vmemmap starts depends on the kernel's configuration (its VA bits may exceed the hardware's) and age.
/// The first struct page that is freed tells: only one candidate maps it into RAM.
class VmemmapFinder {
 public:
  std::optional<std::uint64_t> page_address(const GuestRam& ram, const vmsa::Regime& r,
                                            std::uint64_t struct_page) {
    if (start_ == 0) find(ram, r, struct_page);
    if (start_ == 0 || (struct_page - start_) % struct_page_bytes != 0) return std::nullopt;
    return address(ram, r, start_, struct_page);
  }

 private:
  static std::uint64_t address(const GuestRam& ram, const vmsa::Regime& r, std::uint64_t start,
                               std::uint64_t page) {
    return ram.start() + ((page - start) / struct_page_bytes << r.page_shift);
  }

  void find(const GuestRam& ram, const vmsa::Regime& r, std::uint64_t page) {
    for (const auto& [page_shift, va_bits] : vmsa::regime_keys) {
      if (page_shift != r.page_shift || va_bits < r.va_bits) continue;
      const vmsa::Regime configured = vmsa::regime(page_shift, va_bits);
      const std::uint64_t today = vmsa::layout(configured, vmsa::LayoutAge::today).vmemmap.start.value;
      // From v5.5 to v6.8 vmemmap filled the top 2^-(page_shift - 5) of the kernel half.
      const std::uint64_t middle = ~std::uint64_t{0} << (va_bits - (page_shift - 6));
      for (std::uint64_t base : {today, middle}) {
        const std::uint64_t start = base + ((r.base() - configured.base()) >> page_shift) * struct_page_bytes;
        if ((page - start) % struct_page_bytes == 0 && page >= start &&
            ram.contains(address(ram, r, start, page))) {
          start_ = start;
          return;
        }
      }
    }
  }

  std::uint64_t start_ = 0;  ///< the struct page of the first page of RAM
};

}  // namespace shootdown::audit::plugin
