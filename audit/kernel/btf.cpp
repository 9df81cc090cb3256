// SPDX-License-Identifier: MIT
// The format is described in the kernel's Documentation/bpf/btf.rst: a header, a list of types whose lengths follow
// from their kinds, and the strings. It is found by its header, wherever in the image it lies.
#include "audit/kernel/btf.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace shootdown::audit {
namespace {

constexpr std::uint32_t struct_kind = 4;
constexpr std::size_t type_bytes = 12;
constexpr std::size_t member_bytes = 12;

struct Header {
  std::uint16_t magic = 0xeb9f;
  std::uint8_t version = 1;
  std::uint8_t flags = 0;
  std::uint32_t header_bytes = 24;
  std::uint32_t type_offset = 0;  ///< these two from the end of the header
  std::uint32_t type_bytes = 0;
  std::uint32_t string_offset = 0;
  std::uint32_t string_bytes = 0;
};
static_assert(sizeof(Header) == 24);

/// What follows a type: bytes, and bytes for each of its members, parameters or values.
struct Extra {
  std::uint8_t fixed;
  std::uint8_t each;
};
constexpr std::array<Extra, 20> extra_of_kind{{{0, 0}, {4, 0},  {0, 0}, {12, 0}, {0, 12}, {0, 12}, {0, 8},
                                               {0, 0}, {0, 0},  {0, 0}, {0, 0},  {0, 0},  {0, 0},  {0, 8},
                                               {4, 0}, {0, 12}, {0, 0}, {4, 0},  {0, 0},  {0, 12}}};

class Types {
 public:
  /// `bytes` begins with the header.
  static std::optional<Types> open(std::string_view bytes) {
    Header h;
    std::memcpy(&h, bytes.data(), sizeof h);
    const std::string_view rest = bytes.substr(sizeof h);
    if (h.type_offset > rest.size() || h.type_bytes > rest.size() - h.type_offset ||
        h.string_offset > rest.size() || h.string_bytes > rest.size() - h.string_offset)
      return std::nullopt;
    return Types{rest.substr(h.type_offset, h.type_bytes), rest.substr(h.string_offset, h.string_bytes)};
  }

  /// The members of a structure, and how many.
  std::optional<std::pair<std::size_t, std::uint32_t>> find_struct(std::string_view name) const {
    for (std::size_t at = 0; at + type_bytes <= types_.size();) {
      const std::uint32_t info = word(at + 4);
      const std::uint32_t kind = info >> 24 & 0x1f;
      const std::uint32_t count = info & 0xffff;
      if (kind >= extra_of_kind.size()) return std::nullopt;
      const std::size_t after = at + type_bytes;
      at = after + extra_of_kind[kind].fixed + std::size_t{extra_of_kind[kind].each} * count;
      if (kind == struct_kind && at <= types_.size() && this->name(word(after - type_bytes)) == name)
        return std::pair{after, count};
    }
    return std::nullopt;
  }

  std::optional<std::uint32_t> member_offset(std::size_t members, std::uint32_t count,
                                             std::string_view name) const {
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::size_t at = members + member_bytes * i;
      // In bits; above bit 23 may be the width of a bit field.
      if (this->name(word(at)) == name) return (word(at + 8) & 0xffffff) / 8;
    }
    return std::nullopt;
  }

 private:
  Types(std::string_view types, std::string_view strings) : types_(types), strings_(strings) {}
  std::uint32_t word(std::size_t at) const {
    std::uint32_t value;
    std::memcpy(&value, types_.data() + at, sizeof value);
    return value;
  }
  std::string_view name(std::uint32_t offset) const {
    if (offset >= strings_.size()) return {};
    const std::string_view from = strings_.substr(offset);
    return from.substr(0, from.find('\0'));
  }

  std::string_view types_;
  std::string_view strings_;
};

}  // namespace

std::optional<TaskLayout> read_task_layout(const KernelImage& image) {
  const std::string_view bytes(reinterpret_cast<const char*>(image.bytes.data()), image.bytes.size());
  const Header expected;
  const std::string_view magic(reinterpret_cast<const char*>(&expected), 8);
  for (std::size_t at = bytes.find(magic); at != bytes.npos; at = bytes.find(magic, at + 1)) {
    if (bytes.size() - at < sizeof(Header)) break;
    const auto types = Types::open(bytes.substr(at));
    const auto task = types ? types->find_struct("task_struct") : std::nullopt;
    if (!task) continue;
    const auto pid = types->member_offset(task->first, task->second, "pid");
    const auto comm = types->member_offset(task->first, task->second, "comm");
    if (pid && comm) return TaskLayout{*pid, *comm};
  }
  return std::nullopt;
}

}  // namespace shootdown::audit
