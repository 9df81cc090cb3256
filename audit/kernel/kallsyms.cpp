// SPDX-License-Identifier: MIT
// The table has no header. It is found by its own regularities: 256 strings, most of the printable ASCII
// characters standing for themselves, followed by 256 increasing 16-bit offsets into those strings. From there
// the other arrays are found by arithmetic; each step checks the one before.
//
// In memory, in this order: [offsets, base before 6.4] count, names, markers (one offset into the names for
// each 256 of them), [the order of the names, in 6.1.y to 6.3], token strings, token index, [offsets, base since
// 6.4]. An offset is relative to the base, or, in the newest kernels, to its own place.
#include "audit/kernel/kallsyms.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

namespace shootdown::audit {
namespace {

using Bytes = std::vector<std::uint8_t>;

template <typename T>
T at(const Bytes& b, std::size_t offset) {
  T value{};
  if (offset <= b.size() && b.size() - offset >= sizeof value)
    std::memcpy(&value, b.data() + offset, sizeof value);
  return value;
}

struct Tokens {
  std::size_t strings = 0;  ///< offset of the first token's first byte
  std::size_t index = 0;    ///< offset of the 256 16-bit offsets
};

/// The strings from `digit0` ("0") to the 256th, then the index, which must agree with where they are.
std::optional<Tokens> tokens_around(const Bytes& b, std::size_t digit0) {
  std::size_t p = digit0;
  for (unsigned i = '0'; i < 256; ++i) {
    while (p < b.size() && b[p] != 0) ++p;
    ++p;
  }
  for (std::size_t index : {(p + 7) & ~std::size_t{7}, (p + 3) & ~std::size_t{3}}) {
    if (index + 512 > b.size()) continue;
    auto entry = [&](unsigned i) { return at<std::uint16_t>(b, index + 2 * i); };
    bool increasing = entry(0) == 0;
    for (unsigned i = 1; i < 256; ++i) increasing &= entry(i) > entry(i - 1);
    if (increasing && entry('0') <= digit0 && entry('9') == entry('0') + 18)
      return Tokens{digit0 - entry('0'), index};
  }
  return std::nullopt;
}

std::optional<Tokens> find_tokens(const Bytes& b) {
  std::string digits;
  for (char c = '0'; c <= '9'; ++c) digits.append({c, '\0'});
  for (auto it = b.begin();; ++it) {
    it = std::search(it, b.end(), digits.begin(), digits.end());
    if (it == b.end()) return std::nullopt;
    if (auto tokens = tokens_around(b, static_cast<std::size_t>(it - b.begin()))) return tokens;
  }
}

/// A name's length is one byte, or two with the first one's top bit set.
struct NameLength {
  std::size_t tokens;
  std::size_t prefix;
};
NameLength name_length(const Bytes& b, std::size_t p) {
  const std::size_t first = at<std::uint8_t>(b, p);
  if (first < 0x80) return {first, 1};
  return {(first & 0x7f) | std::size_t{at<std::uint8_t>(b, p + 1)} << 7, 2};
}

std::size_t skip_names(const Bytes& b, std::size_t p, std::size_t count) {
  for (; count > 0 && p < b.size(); --count) {
    const NameLength n = name_length(b, p);
    p += n.prefix + n.tokens;
  }
  return p;
}

struct Names {
  std::size_t start = 0;
  std::size_t count = 0;
  std::size_t count_offset = 0;
};

/// Markers end where the token strings begin (up to padding) and begin with 0; the second one says where the
/// 257th name starts, which decides where the first one does.
std::optional<Names> find_names(const Bytes& b, const Tokens& tokens) {
  std::size_t last = (tokens.strings & ~std::size_t{3}) - 4;
  if (at<std::uint32_t>(b, last) == 0) last -= 4;
  std::size_t first = last;
  while (first >= 4 && at<std::uint32_t>(b, first) != 0) first -= 4;
  const std::size_t markers = (last - first) / 4 + 1;
  if (markers < 3) return std::nullopt;
  const std::uint32_t second = at<std::uint32_t>(b, first + 4);
  const std::size_t names_bytes_min = at<std::uint32_t>(b, last);

  const std::size_t nearest = first - names_bytes_min;
  for (std::size_t start = nearest & ~std::size_t{3}; start > 8 && nearest - start < 0x10000; start -= 4) {
    for (std::size_t count_offset : {start - 4, start - 8}) {
      const std::size_t count = at<std::uint32_t>(b, count_offset);
      if (count <= (markers - 1) * 256 || count > markers * 256) continue;
      if (skip_names(b, start, 256) != start + second) continue;
      const std::size_t end = skip_names(b, start, count);
      if (end <= first && first - end < 16) return Names{start, count, count_offset};
    }
  }
  return std::nullopt;
}

/// Before 6.4 the offsets, padded to 8 bytes, and the 8-byte base stand before the count.
std::size_t bytes_before_count(std::size_t count) { return ((4 * count + 7) & ~std::size_t{7}) + 8; }

/// The same from the other side, where something stands between markers and tokens: a count with as many growing
/// offsets before it, and behind it names that the second marker agrees with.
std::optional<Names> find_names_by_offsets(const Bytes& b, const Tokens& tokens, std::uint64_t memory_bytes) {
  for (std::size_t p = tokens.strings & ~std::size_t{3}; p > 8; p -= 4) {
    const std::size_t count = at<std::uint32_t>(b, p);
    if (count <= 512 || p < bytes_before_count(count)) continue;
    const std::size_t first = p - bytes_before_count(count);
    auto offset = [&](std::size_t i) { return at<std::uint32_t>(b, first + 4 * i); };
    if (offset(0) != 0 || offset(count - 1) == 0 || offset(count - 1) > memory_bytes) continue;
    std::size_t i = 1;
    while (i < count && offset(i - 1) <= offset(i)) ++i;
    if (i < count) continue;
    for (std::size_t start : {p + 4, p + 8}) {
      const std::size_t markers = (skip_names(b, start, count) + 7) & ~std::size_t{7};
      if (markers < tokens.strings && at<std::uint32_t>(b, markers) == 0 &&
          skip_names(b, start, 256) == start + at<std::uint32_t>(b, markers + 4))
        return Names{start, count, p};
    }
  }
  return std::nullopt;
}

/// What an offset counts from.
enum class OffsetOrigin { image, own_place };

/// Offsets from the first byte of the image, one a symbol, sorted as the kernel needs them for its search.
std::optional<std::vector<std::uint32_t>> read_offsets(const Bytes& b, std::size_t array, std::size_t count,
                                                       OffsetOrigin origin) {
  if (array + 4 * count > b.size()) return std::nullopt;
  std::vector<std::uint32_t> offsets(count);
  for (std::size_t i = 0; i < count; ++i) {
    offsets[i] = at<std::uint32_t>(b, array + 4 * i);
    if (origin == OffsetOrigin::own_place) offsets[i] += static_cast<std::uint32_t>(array + 4 * i);
  }
  if (offsets[0] != 0 || offsets[count - 1] == 0 || !std::ranges::is_sorted(offsets)) return std::nullopt;
  return offsets;
}

std::optional<std::vector<std::uint32_t>> find_offsets(const Bytes& b, const Tokens& tokens,
                                                       const Names& names) {
  const std::size_t after = tokens.index + 512;
  if (auto found = read_offsets(b, after, names.count, OffsetOrigin::own_place)) return found;
  if (auto found = read_offsets(b, (after + 7) & ~std::size_t{7}, names.count, OffsetOrigin::image))
    return found;
  return std::nullopt;
}

std::optional<std::vector<std::uint32_t>> find_old_offsets(const Bytes& b, const Names& names) {
  if (names.count_offset < bytes_before_count(names.count)) return std::nullopt;
  return read_offsets(b, names.count_offset - bytes_before_count(names.count), names.count,
                      OffsetOrigin::image);
}

/// Where the image is linked: most pointers in its data point into itself, and KIMAGE_VADDR is the start of
/// the region that they share. Modules lie below it: 2 GiB of them since 6.5, 128 MiB before.
std::optional<std::uint64_t> find_base(const Bytes& b, std::uint64_t memory_bytes) {
  std::map<std::uint64_t, std::size_t> votes;
  for (std::size_t p = 0; p + 8 <= b.size(); p += 8) {
    const auto word = at<std::uint64_t>(b, p);
    if (word >> 48 == 0xffff && (word & 3) == 0) ++votes[word & ~std::uint64_t{0x7ffffff}];
  }
  std::size_t total = 0;
  for (const auto& [start, count] : votes) total += count;
  for (const auto& [start, count] : votes) {
    if (count * 20 > total && memory_bytes < 0x8000000) return start;
  }
  return std::nullopt;
}

/// Before 6.4 the base may be another than the image's first byte (_stext, where data has no symbols). In the file it
/// is 0; what it will be, its relocation says: its place, R_AARCH64_RELATIVE, the value.
std::uint64_t relocated_base(const Bytes& b, const Names& names, std::uint64_t image_base) {
  const std::array<std::uint64_t, 2> relocation{image_base + names.count_offset - 8, 0x403};
  std::array<std::uint8_t, sizeof relocation> wanted;
  std::memcpy(wanted.data(), relocation.data(), sizeof relocation);
  const auto found = std::search(b.begin(), b.end(), wanted.begin(), wanted.end());
  const auto value = at<std::uint64_t>(b, static_cast<std::size_t>(found - b.begin()) + sizeof relocation);
  return value - image_base < b.size() ? value : image_base;
}

/// No kernel allows more (KSYM_NAME_LEN).
constexpr std::size_t name_bytes_max = 512;

std::string expand_name(const Bytes& b, const Tokens& tokens, std::size_t p, std::size_t count) {
  std::string name;
  for (; count > 0 && p < b.size() && name.size() < name_bytes_max; --count, ++p)
    for (std::size_t c = tokens.strings + at<std::uint16_t>(b, tokens.index + 2 * b[p]);
         c < b.size() && b[c] != 0 && name.size() < name_bytes_max; ++c)
      name += static_cast<char>(b[c]);
  return name;
}

}  // namespace

Expected<Kallsyms> read_kallsyms(const KernelImage& image) {
  const Bytes& b = image.bytes;
  const auto tokens = find_tokens(b);
  auto names = tokens ? find_names(b, *tokens) : std::nullopt;
  if (tokens && !names) names = find_names_by_offsets(b, *tokens, image.memory_bytes);
  auto offsets = names ? find_offsets(b, *tokens, *names) : std::nullopt;
  const bool is_old = names && !offsets;
  if (is_old) offsets = find_old_offsets(b, *names);
  const auto base = offsets ? find_base(b, image.memory_bytes) : std::nullopt;
  if (!base)
    return fail(ExitCode::bad_data, "the kernel image carries no symbols: give --vmlinux or --system-map");

  const std::uint64_t first = is_old ? relocated_base(b, *names, *base) : *base;
  std::vector<Symbol> symbols;
  std::size_t p = names->start;
  for (std::size_t i = 0; i < names->count && p < b.size(); ++i) {
    const NameLength n = name_length(b, p);
    if (p + n.prefix + n.tokens > b.size()) break;
    std::string name = expand_name(b, *tokens, p + n.prefix, n.tokens);
    p += n.prefix + n.tokens;
    // The first character is the type, as nm has it.
    if (name.size() > 1 && std::string_view("TtWw").find(name[0]) != std::string_view::npos)
      symbols.push_back({first + (*offsets)[i], name.substr(1)});
  }
  return Kallsyms{SymbolTable(std::move(symbols)), *base};
}

}  // namespace shootdown::audit
