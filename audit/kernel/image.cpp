// SPDX-License-Identifier: MIT
#include "audit/kernel/image.hpp"

#include <cstring>
#include <fstream>
#include <iterator>

namespace shootdown::audit {
namespace {

constexpr std::size_t header_bytes = 64;
constexpr std::size_t magic_offset = 56;

template <typename T>
T load_at(const std::vector<std::uint8_t>& bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

/// What a wrong file is likely to be, and what to do about it.
std::string_view likely_format(const std::vector<std::uint8_t>& bytes) {
  auto begins = [&](std::initializer_list<std::uint8_t> magic) {
    return bytes.size() >= magic.size() && std::equal(magic.begin(), magic.end(), bytes.begin());
  };
  if (begins({0x1f, 0x8b})) return "it is compressed: gunzip it first";
  if (begins({0x7f, 'E', 'L', 'F'}))
    return "it is an ELF file: take arch/arm64/boot/Image, and give vmlinux as --vmlinux";
  if (begins({'M', 'Z'}))
    return "it is an EFI program of another kind (vmlinuz.efi, or of another architecture)";
  return "it has no arm64 Image header";
}

}  // namespace

std::uint32_t KernelImage::instruction(std::uint64_t offset) const {
  return offset + 4 <= bytes.size() ? load_at<std::uint32_t>(bytes, offset) : 0;
}

Expected<KernelImage> parse_image(std::vector<std::uint8_t> bytes, std::string_view name) {
  if (bytes.size() < header_bytes || std::memcmp(bytes.data() + magic_offset, "ARM\x64", 4) != 0)
    return fail(ExitCode::bad_data, "{} is no arm64 Image: {}", name, likely_format(bytes));
  KernelImage image;
  image.text_offset = load_at<std::uint64_t>(bytes, 8);
  image.memory_bytes = load_at<std::uint64_t>(bytes, 16);
  const auto flags = load_at<std::uint64_t>(bytes, 24);
  if (flags & 1) return fail(ExitCode::bad_data, "{} is a big-endian kernel, which cannot be audited", name);
  const unsigned page_size_field = flags >> 1 & 3;
  image.page_shift = page_size_field == 0 ? 12 : 10 + 2 * page_size_field;
  image.bytes = std::move(bytes);
  return image;
}

Expected<KernelImage> load_image(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(ExitCode::missing_input, "cannot read the kernel image {}", path.string());
  std::vector<std::uint8_t> bytes((std::istreambuf_iterator<char>(file)), {});
  return parse_image(std::move(bytes), path.string());
}

}  // namespace shootdown::audit
