// SPDX-License-Identifier: MIT
#include "audit/kernel/symbols.hpp"

#include <algorithm>
#include <charconv>

namespace shootdown::audit {

SymbolTable::SymbolTable(std::vector<Symbol> symbols) : symbols_(std::move(symbols)) {
  std::ranges::stable_sort(symbols_, {}, &Symbol::address);
  by_name_.reserve(symbols_.size());
  for (const Symbol& s : symbols_) by_name_.emplace(s.name, s.address);
}

std::optional<std::uint64_t> SymbolTable::address_of(std::string_view name) const {
  const auto it = by_name_.find(name);
  if (it == by_name_.end()) return std::nullopt;
  return it->second;
}

std::vector<std::uint64_t> SymbolTable::addresses_of(std::string_view name) const {
  std::vector<std::uint64_t> all;
  const auto [begin, end] = by_name_.equal_range(name);
  for (auto it = begin; it != end; ++it) all.push_back(it->second);
  std::ranges::sort(all);
  return all;
}

std::optional<SymbolPlace> SymbolTable::find(std::uint64_t address) const {
  auto next = std::ranges::upper_bound(symbols_, address, {}, &Symbol::address);
  if (next == symbols_.begin() || next == symbols_.end()) return std::nullopt;
  const std::uint64_t start = std::prev(next)->address;
  const auto first = std::ranges::lower_bound(symbols_, start, {}, &Symbol::address);
  return SymbolPlace{&*first, address - start, next->address - start};
}

std::string SymbolTable::describe(std::uint64_t address) const {
  const auto place = find(address);
  if (!place) return fmt::format("0x{:x}", address);
  return fmt::format("{}+0x{:x}/0x{:x}", place->symbol->name, place->offset, place->size);
}

Expected<SymbolTable> parse_system_map(std::string_view text, std::string_view file_name) {
  std::vector<Symbol> symbols;
  while (!text.empty()) {
    const std::size_t eol = text.find('\n');
    std::string_view line = text.substr(0, eol);
    text = eol == std::string_view::npos ? std::string_view() : text.substr(eol + 1);
    std::uint64_t address = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), address, 16);
    if (error != std::errc() || address == 0) continue;
    line.remove_prefix(static_cast<std::size_t>(end - line.data()));
    if (line.size() < 4 || line[0] != ' ' || line[2] != ' ') continue;
    const char type = line[1];
    line.remove_prefix(3);
    const std::string_view name = line.substr(0, line.find('\t'));
    if (type != 'T' && type != 't' && type != 'W' && type != 'w' && name != "_end") continue;
    symbols.push_back({address, std::string(name)});
  }
  if (symbols.size() < 2)
    return fail(ExitCode::bad_data, "{} holds no kernel symbols (a map with addresses; Debian ships a stub)",
                file_name);
  return SymbolTable(std::move(symbols));
}

}  // namespace shootdown::audit
