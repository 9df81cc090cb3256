// SPDX-License-Identifier: MIT
// A kernel's symbols: by name and by address, printed as kernels print them. Where they come from:
// kallsyms.hpp (the image itself) and System.map (parse_system_map).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "audit/error.hpp"

namespace shootdown::audit {

struct Symbol {
  std::uint64_t address = 0;
  std::string name;
};

/// Where an address lies: `name+0xoffset/0xsize`.
struct SymbolPlace {
  const Symbol* symbol = nullptr;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

class SymbolTable {
 public:
  SymbolTable() = default;
  explicit SymbolTable(std::vector<Symbol> symbols);

  bool empty() const { return symbols_.empty(); }
  std::size_t size() const { return symbols_.size(); }
  const std::vector<Symbol>& symbols() const { return symbols_; }  ///< by address
  std::optional<std::uint64_t> address_of(std::string_view name) const;
  /// Every address of a name: static functions may share one.
  std::vector<std::uint64_t> addresses_of(std::string_view name) const;
  std::optional<SymbolPlace> find(std::uint64_t address) const;
  /// "unmap_hotplug_range+0x1c8/0x2f0", or "0xffff..." where nothing is known.
  std::string describe(std::uint64_t address) const;

 private:
  std::vector<Symbol> symbols_;  ///< by address; of several names for one address the first is taken
  std::unordered_multimap<std::string_view, std::uint64_t> by_name_;
};

/// Lines of "address type name", as System.map, nm and /proc/kallsyms have them; only text symbols count,
/// and `_end`, which says how long the image is.
/// Errors: `bad_data` when no line is one, or all addresses are 0 (kptr_restrict).
Expected<SymbolTable> parse_system_map(std::string_view text, std::string_view file_name);

}  // namespace shootdown::audit
