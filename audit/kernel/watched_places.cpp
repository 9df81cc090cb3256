// SPDX-License-Identifier: MIT
#include "audit/kernel/watched_places.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "audit/kernel/kallsyms.hpp"
#include "audit/plugin/instruction.hpp"
#include "audit/watched.hpp"

namespace shootdown::audit {
namespace {

/// Suffixes of a function that was only renamed; of those that are not here (.constprop, .isra, .part) the arguments may
/// be others.
constexpr std::array renaming_suffixes{".llvm.", ".lto_priv."};

bool is_only_renamed(std::string_view suffix) {
  return std::ranges::any_of(renaming_suffixes, [&](std::string_view s) { return suffix.starts_with(s); });
}

/// The variants of a function that a compiler has made, `suffix` with its dot; those of its cold parts do not count.
struct Variant {
  const Symbol* symbol;
  std::string_view suffix;
};
std::vector<Variant> variants_of(const SymbolTable& symbols, std::string_view name) {
  std::vector<Variant> all;
  for (const Symbol& s : symbols.symbols()) {
    const std::string_view full = s.name;
    if (!full.starts_with(name) || full.size() == name.size() || full[name.size()] != '.') continue;
    const std::string_view suffix = full.substr(name.size());
    if (suffix.find(".cold") == std::string_view::npos) all.push_back({&s, suffix});
  }
  return all;
}

std::string joined(const auto& names) {
  std::string text;
  for (std::string_view name : names)
    if (!name.empty()) text += fmt::format("{}{}", text.empty() ? "" : ", ", name);
  return text;
}

}  // namespace

Expected<WatchedPlaces> watched_places(const SymbolTable& symbols) {
  WatchedPlaces result;
  std::set<std::uint64_t> known;
  const auto add = [&](std::uint64_t address, std::string_view name) {
    if (known.insert(address).second) result.places.push_back({address, std::string(name)});
  };
  for (const WatchedFunctions& wanted : watched_functions) {
    bool found = false;
    bool any_variant = false;
    for (std::string_view name : wanted.names) {
      if (name.empty()) continue;
      for (std::uint64_t address : symbols.addresses_of(name)) add(address, name), found = true;
      for (const Variant& v : variants_of(symbols, name)) {
        any_variant = true;
        if (is_only_renamed(v.suffix)) {
          add(v.symbol->address, name), found = true;
        } else {
          result.blind_spots.push_back(fmt::format(
              "{}, where {} does it: a compiler has changed its arguments", wanted.what, v.symbol->name));
        }
      }
    }
    if (found || (wanted.missing == WatchedFunctions::If::absent && !any_variant)) continue;
    if (wanted.missing == WatchedFunctions::If::needed)
      return fail(ExitCode::bad_data, "the symbols have none of {}: nothing could be judged without {}",
                  joined(wanted.names), wanted.what);
    result.blind_spots.push_back(fmt::format("{}: this kernel's symbols have no {} that can be watched",
                                             wanted.what, joined(wanted.names)));
  }
  std::ranges::sort(result.blind_spots);
  const auto repeated = std::ranges::unique(result.blind_spots);
  result.blind_spots.erase(repeated.begin(), repeated.end());
  return result;
}

std::vector<std::string> maintenance_functions(const KernelImage& image, std::uint64_t base,
                                               const SymbolTable& symbols) {
  // The replacement for CPUs that need each TLBI twice stands apart, behind the last function of its file.
  constexpr std::uint32_t dsb_ish = 0xd5033b9f;
  std::set<std::string> names;
  for (std::uint64_t offset = 4; offset + 4 <= image.bytes.size(); offset += 4) {
    const auto decoded = plugin::decode(image.instruction(offset));
    if (!decoded || decoded->action != plugin::Action::tlbi || image.instruction(offset - 4) == dsb_ish)
      continue;
    const auto place = symbols.find(base + offset);
    const bool is_function =
        place && place->symbol->name.find('$') == std::string::npos;  // no mapping symbol
    if (is_function) names.insert(place->symbol->name);
  }
  return {names.begin(), names.end()};
}

Expected<void> check_symbols_of(const SymbolTable& symbols, const KernelImage& image, std::string_view name) {
  if (const auto own = read_kallsyms(image)) {
    for (const Symbol& s : own->symbols.symbols()) {
      const auto given = symbols.addresses_of(s.name);
      if (given.size() == 1 && given[0] != s.address && own->symbols.addresses_of(s.name).size() == 1)
        return fail(ExitCode::bad_data, "{} is of another kernel: it has {} at 0x{:x}, the image at 0x{:x}",
                    name, s.name, given[0], s.address);
    }
    return {};
  }
  const auto first = symbols.address_of("_text");
  const auto last = symbols.address_of("_end");
  if (first && last && *last - *first != image.memory_bytes)
    return fail(ExitCode::bad_data,
                "{} is of another kernel: _text to _end are 0x{:x} bytes, the image has 0x{:x}", name,
                *last - *first, image.memory_bytes);
  return {};
}

}  // namespace shootdown::audit
