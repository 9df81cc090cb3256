// SPDX-License-Identifier: MIT
// What the image is asked to do: the `sd.*` words of the boot arguments. Everything else in them is somebody
// else's and is passed over; an unknown or malformed `sd.` word is refused by name.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "mm/strategy.hpp"
#include "vmsa/layout.hpp"
#include "vmsa/regime.hpp"

namespace shootdown::metal::guest {

inline constexpr unsigned max_runs = 16;

/// A piece of the boot arguments; points into them.
struct Word {
  const char* text = nullptr;
  std::size_t size = 0;

  constexpr bool is(const char* s) const {
    std::size_t i = 0;
    for (; i < size && s[i] != '\0'; ++i)
      if (text[i] != s[i]) return false;
    return i == size && s[i] == '\0';
  }
};

struct Options {
  unsigned page_shift = 12;
  unsigned va_bits = 48;
  std::uint64_t memory = std::uint64_t{1} << 30;  ///< bytes to plug and unplug
  std::uint64_t boot = std::uint64_t{1} << 30;    ///< bytes of the bank before them
  unsigned mapping = 0;                           ///< index into mm::mappings
  bool vmemmap_pages = false;                     ///< let every allocation of a vmemmap block fail
  vmsa::LayoutAge layout = vmsa::LayoutAge::today;
  mm::TableRule rule = mm::TableRule::floor_ceiling;
  bool neighbours = true;  ///< boot memory is mapped too, and a vmalloc page beside vmemmap
  bool range_tlbi = true;  ///< false: do as if FEAT_TLBIRANGE were missing
  bool repeat_tlbi = false;
  bool again = true;         ///< add and remove once more, and compare
  unsigned watch_us = 1000;  ///< between two rounds of the other CPUs' touching
  unsigned run_count = 1;
  std::array<std::uint8_t, max_runs> strategies{3};  ///< indices into mm::strategies; B by default
};

/// Why a word was refused: it and what would have been right.
struct OptionError {
  Word word;
  const char* expected = nullptr;  ///< nullptr when nothing is wrong
};

namespace detail {

/// A decimal number, nothing else; false when it is none or does not fit.
constexpr bool parse_number(Word w, std::uint64_t& out) {
  if (w.size == 0) return false;
  std::uint64_t v = 0;
  for (std::size_t i = 0; i < w.size; ++i) {
    if (w.text[i] < '0' || w.text[i] > '9') return false;
    const auto digit = static_cast<std::uint64_t>(w.text[i] - '0');
    if (v > (~std::uint64_t{0} - digit) / 10) return false;
    v = v * 10 + digit;
  }
  out = v;
  return true;
}

constexpr bool parse_unsigned(Word w, unsigned& out) {
  std::uint64_t v = 0;
  if (!parse_number(w, v) || v > 1'000'000) return false;
  out = static_cast<unsigned>(v);
  return true;
}

constexpr bool parse_switch(Word w, bool& out, const char* on, const char* off) {
  if (!w.is(on) && !w.is(off)) return false;
  out = w.is(on);
  return true;
}

template <typename Table, typename Index>
constexpr bool parse_name(Word w, const Table& table, Index& out) {
  for (std::size_t i = 0; i < table.size(); ++i)
    if (w.is(table[i].name)) return out = static_cast<Index>(i), true;
  return false;
}

constexpr bool parse_strategies(Word w, Options& o) {
  o.run_count = 0;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= w.size; ++i) {
    if (i < w.size && w.text[i] != ',') continue;
    if (o.run_count == max_runs) return false;
    if (!parse_name({w.text + start, i - start}, mm::strategies, o.strategies[o.run_count])) return false;
    ++o.run_count;
    start = i + 1;
  }
  return true;
}

constexpr bool parse_rule(Word w, mm::TableRule& out) {
  if (w.is("floor-ceiling")) return out = mm::TableRule::floor_ceiling, true;
  if (w.is("v7")) return out = mm::TableRule::v7, true;
  if (w.is("any")) return out = mm::TableRule::any, true;
  return false;
}

/// nullptr, or what the value of `key` should have been.
constexpr const char* set_option(Word key, Word v, Options& o) {
  bool old_layout = false;
  auto expect = [](bool ok, const char* what) { return ok ? nullptr : what; };
  if (key.is("page")) return expect(parse_unsigned(v, o.page_shift), "log2 of the page size: 12, 14 or 16");
  if (key.is("va")) return expect(parse_unsigned(v, o.va_bits), "a number of bits");
  if (key.is("memory")) return expect(parse_number(v, o.memory), "a number of bytes");
  if (key.is("boot")) return expect(parse_number(v, o.boot), "a number of bytes");
  if (key.is("strategy")) return expect(parse_strategies(v, o), "names of strategies, with commas");
  if (key.is("mapping")) return expect(parse_name(v, mm::mappings, o.mapping), "a mapping's name");
  if (key.is("vmemmap")) return expect(parse_switch(v, o.vmemmap_pages, "pages", "block"), "block or pages");
  if (key.is("rule")) return expect(parse_rule(v, o.rule), "floor-ceiling, v7 or any");
  if (key.is("neighbours")) return expect(parse_switch(v, o.neighbours, "boot", "none"), "boot or none");
  if (key.is("range")) return expect(parse_switch(v, o.range_tlbi, "on", "off"), "on or off");
  if (key.is("repeat")) return expect(parse_switch(v, o.repeat_tlbi, "on", "off"), "on or off");
  if (key.is("again")) return expect(parse_switch(v, o.again, "on", "off"), "on or off");
  if (key.is("watch")) return expect(parse_unsigned(v, o.watch_us), "a number of microseconds");
  if (key.is("layout")) {
    if (!parse_switch(v, old_layout, "old", "today")) return "old or today";
    o.layout = old_layout ? vmsa::LayoutAge::old : vmsa::LayoutAge::today;
    return nullptr;
  }
  return "one of the known words";
}

constexpr bool is_known_regime(unsigned page_shift, unsigned va_bits) {
  for (const auto& key : vmsa::regime_keys)
    if (key[0] == page_shift && key[1] == va_bits) return true;
  return false;
}

/// What the words say together.
constexpr const char* check_options(const Options& o) {
  if (!is_known_regime(o.page_shift, o.va_bits)) return "a page and VA size that Linux can be built with";
  const vmsa::Regime r = vmsa::regime(o.page_shift, o.va_bits);
  if (!vmsa::has_layout(r, o.layout)) return "a layout that exists: the old one has no 52-bit VA with LPA2";
  if (o.memory == 0 || o.memory % r.section_size() != 0) return "memory in whole sections";
  if (o.boot == 0 || o.boot % r.section_size() != 0) return "boot memory in whole sections";
  const std::uint64_t linear = vmsa::layout(r, o.layout).linear.size();
  if (o.boot > linear || o.memory > linear - o.boot) return "memory that fits the linear map";
  return nullptr;
}

}  // namespace detail

/// Reads every `sd.key=value` of a NUL-terminated line into `o`.
constexpr OptionError parse_options(const char* line, Options& o) {
  for (const char* p = line; *p != '\0';) {
    while (*p == ' ') ++p;
    Word word{p, 0};
    while (p[word.size] != '\0' && p[word.size] != ' ') ++word.size;
    p += word.size;
    if (word.size < 3 || !Word{word.text, 3}.is("sd.")) continue;
    std::size_t equals = 3;
    while (equals < word.size && word.text[equals] != '=') ++equals;
    if (equals == word.size) return {word, "sd.key=value"};
    const Word key{word.text + 3, equals - 3};
    const Word value{word.text + equals + 1, word.size - equals - 1};
    if (const char* expected = detail::set_option(key, value, o)) return {word, expected};
  }
  if (const char* expected = detail::check_options(o)) return {{line, 0}, expected};
  return {};
}

}  // namespace shootdown::metal::guest
