// SPDX-License-Identifier: MIT
// Strategy: the parts that turn files into kernels, over bytes made here: image headers good and bad, a
// kallsyms table built by hand in each of its layouts, System.map, suppressions, versions of QEMU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "audit/kernel/btf.hpp"
#include "audit/kernel/image.hpp"
#include "audit/kernel/kallsyms.hpp"
#include "audit/qemu/cpio.hpp"
#include "audit/qemu/version.hpp"
#include "audit/suppress.hpp"

namespace shootdown::audit {
namespace {

using testing::HasSubstr;

template <typename T>
void put(std::vector<std::uint8_t>& bytes, T value) {
  const auto* p = reinterpret_cast<const std::uint8_t*>(&value);
  bytes.insert(bytes.end(), p, p + sizeof value);
}

std::vector<std::uint8_t> image_header(std::uint64_t flags = 0xa) {
  std::vector<std::uint8_t> bytes(64);
  const std::uint64_t size = 0x100000;
  std::memcpy(bytes.data() + 16, &size, 8);
  std::memcpy(bytes.data() + 24, &flags, 8);
  std::memcpy(bytes.data() + 56, "ARM\x64", 4);
  return bytes;
}

TEST(KernelImage, SaysItsPageSize) {
  EXPECT_EQ(parse_image(image_header(0xa), "i")->page_shift, 12u);
  EXPECT_EQ(parse_image(image_header(0xc), "i")->page_shift, 14u);
  EXPECT_EQ(parse_image(image_header(0xe), "i")->page_shift, 16u);
}

TEST(KernelImage, OtherFilesAreRefusedWithTheWayOut) {
  auto message = [](std::vector<std::uint8_t> bytes) {
    const auto image = parse_image(std::move(bytes), "file");
    EXPECT_FALSE(image);
    EXPECT_EQ(image.error().code, ExitCode::bad_data);
    return image.error().message;
  };
  EXPECT_THAT(message({}), HasSubstr("no arm64 Image header"));
  EXPECT_THAT(message({0x1f, 0x8b, 8, 0}), HasSubstr("gunzip"));
  EXPECT_THAT(message({0x7f, 'E', 'L', 'F'}), HasSubstr("--vmlinux"));
  EXPECT_THAT(message(image_header(0xb)), HasSubstr("big-endian"));
}

/// Type data of an int, an array of it, a structure of another name, and task_struct; `strings` follow the types.
std::vector<std::uint8_t> type_data(std::uint32_t comm_bits, std::uint32_t struct_kind = 4) {
  const std::string strings("\0int\0other\0task_struct\0pid\0comm\0", 32);
  const auto at = [&](const char* name) { return static_cast<std::uint32_t>(strings.find(name)); };
  std::vector<std::uint32_t> types{at("int"), 1u << 24, 4, 32};                // an int: 4 bytes more
  types.insert(types.end(), {0, 3u << 24, 0, 1, 1, 16});                       // an array: 12 more
  types.insert(types.end(), {at("other"), 4u << 24 | 1, 4, at("pid"), 1, 8});  // a member: 12 more
  types.insert(types.end(), {at("task_struct"), struct_kind << 24 | 1u << 31 | 2, 4096});  // with bit fields
  types.insert(types.end(), {at("pid"), 1, 32u << 24 | 1472 * 8, at("comm"), 2, comm_bits});
  std::vector<std::uint8_t> b;
  put(b, std::uint64_t{0x18'0001'eb9f});
  const auto bytes = static_cast<std::uint32_t>(4 * types.size());
  for (std::uint32_t word : {0u, bytes, bytes, static_cast<std::uint32_t>(strings.size())}) put(b, word);
  for (std::uint32_t word : types) put(b, word);
  b.insert(b.end(), strings.begin(), strings.end());
  return b;
}

TEST(TypeData, SaysWhereAThreadHasItsName) {
  KernelImage image;
  image.bytes.assign(100, 0x11);
  EXPECT_EQ(read_task_layout(image), std::nullopt);
  const auto data = type_data(2000 * 8);
  image.bytes.insert(image.bytes.end(), data.begin(), data.end());
  EXPECT_EQ(read_task_layout(image), (TaskLayout{1472, 2000}));

  // What only looks like it comes first.
  KernelImage decoy;
  decoy.bytes.assign(data.begin(), data.begin() + 8);
  decoy.bytes.insert(decoy.bytes.end(), image.bytes.begin(), image.bytes.end());
  EXPECT_EQ(read_task_layout(decoy), (TaskLayout{1472, 2000}));

  KernelImage other;
  other.bytes = type_data(2000 * 8, 5);  // a union
  EXPECT_EQ(read_task_layout(other), std::nullopt);
  for (std::size_t size = 0; size < data.size(); ++size) {
    other.bytes.assign(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(read_task_layout(other), std::nullopt) << size << " bytes";
  }
}

/// A kernel image that holds nothing but a header and a kallsyms table of `count` functions, 16 bytes apart.
enum class KallsymsAge { v6_1, v6_4, newest };
std::vector<std::uint8_t> image_with_kallsyms(std::size_t count, KallsymsAge age) {
  std::vector<std::uint8_t> b = image_header();
  const std::uint64_t base = 0xffff800080000000;
  for (int i = 0; i < 4000; ++i) put(b, base + 8 * static_cast<std::uint64_t>(i));  // pointers into itself
  if (age == KallsymsAge::v6_1) {
    const std::uint64_t place = base + ((b.size() + 24 + 4 * count + 7) & ~std::size_t{7});
    for (std::uint64_t word : {place, std::uint64_t{0x403}, base + 0x1000}) put(b, word);
    for (std::size_t i = 0; i < count; ++i) put(b, static_cast<std::uint32_t>(16 * i));
    b.resize((b.size() + 7) & ~std::size_t{7});
    put(b, std::uint64_t{0});  // the base, to be relocated
  }
  put(b, static_cast<std::uint32_t>(count));
  put(b, std::uint32_t{0});
  const std::size_t names = b.size();
  std::vector<std::uint32_t> markers;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % 256 == 0) markers.push_back(static_cast<std::uint32_t>(b.size() - names));
    // Each byte is a token; token c stands for the character c here.
    const std::string name = i == 0 ? "T_text" : fmt::format("{}f{}", i % 7 == 0 ? 'd' : 't', i);
    b.push_back(static_cast<std::uint8_t>(name.size()));
    b.insert(b.end(), name.begin(), name.end());
  }
  b.resize((b.size() + 7) & ~std::size_t{7});
  for (std::uint32_t m : markers) put(b, m);
  if (age == KallsymsAge::v6_1) b.insert(b.end(), 3 * count, 0x42);
  b.resize((b.size() + 7) & ~std::size_t{7});
  std::vector<std::uint16_t> index;
  const std::size_t tokens = b.size();
  for (unsigned c = 0; c < 256; ++c) {
    index.push_back(static_cast<std::uint16_t>(b.size() - tokens));
    b.push_back(c == 0 ? 1 : static_cast<std::uint8_t>(c));
    b.push_back(0);
  }
  b.resize((b.size() + 7) & ~std::size_t{7});
  for (std::uint16_t i : index) put(b, i);
  for (std::size_t i = 0; age != KallsymsAge::v6_1 && i < count; ++i)
    put(b, static_cast<std::uint32_t>(16 * i - (age == KallsymsAge::newest ? b.size() : 0)));
  return b;
}

TEST(Kallsyms, AreFoundInEachLayout) {
  for (KallsymsAge age : {KallsymsAge::v6_1, KallsymsAge::v6_4, KallsymsAge::newest}) {
    const auto image = parse_image(image_with_kallsyms(1000, age), "i");
    ASSERT_TRUE(image);
    const auto kallsyms = read_kallsyms(*image);
    ASSERT_TRUE(kallsyms) << kallsyms.error().message;
    EXPECT_EQ(kallsyms->base, 0xffff800080000000);
    const std::uint64_t first = 0xffff800080000000 + (age == KallsymsAge::v6_1 ? 0x1000 : 0);
    EXPECT_EQ(kallsyms->symbols.address_of("f500"), first + 16 * 500);
    EXPECT_EQ(kallsyms->symbols.address_of("f14"), std::nullopt) << "data is no function";
    EXPECT_EQ(kallsyms->symbols.describe(first + 16 * 501 + 4), "f501+0x4/0x10");
  }
}

TEST(Kallsyms, TokensBeyondTheImageAreNoPartOfAName) {
  constexpr std::size_t count = 1000;
  std::vector<std::uint8_t> b = image_with_kallsyms(count, KallsymsAge::newest);
  const std::size_t index = b.size() - 4 * count - 512;
  for (unsigned c = 'f'; c < 256; ++c)  // still growing, as a table's are
    b[index + 2 * c] = static_cast<std::uint8_t>(c), b[index + 2 * c + 1] = 0xff;
  ASSERT_GT(0xff00 + std::size_t{'f'}, b.size() - (index - 512)) << "behind the last byte";
  const auto kallsyms = read_kallsyms(*parse_image(b, "i"));
  ASSERT_TRUE(kallsyms) << kallsyms.error().message;
  EXPECT_EQ(kallsyms->symbols.address_of("f501"), std::nullopt);
}

TEST(Kallsyms, AnImageWithoutATableIsRefused) {
  const auto kallsyms = read_kallsyms(*parse_image(image_header(), "i"));
  ASSERT_FALSE(kallsyms);
  EXPECT_THAT(kallsyms.error().message, HasSubstr("--system-map"));
}

TEST(SystemMap, TextSymbolsCount) {
  const auto map = parse_system_map(
      "ffff800080000000 T _text\nffff800080000100 d data\nffff800080000200 t static_one\n"
      "ffff800080000300 T last\t[module]\n",
      "map");
  ASSERT_TRUE(map);
  EXPECT_EQ(map->size(), 3u);
  EXPECT_EQ(map->describe(0xffff800080000204), "static_one+0x4/0x100");
  EXPECT_EQ(map->describe(0x1234), "0x1234");
}

TEST(SystemMap, AStubIsRefused) {
  EXPECT_FALSE(parse_system_map("ffffffffffffffff B The real System.map is elsewhere\n", "map"));
  EXPECT_FALSE(parse_system_map("0000000000000000 T _text\n0000000000000000 T _stext\n", "map"))
      << "kptr_restrict";
}

TEST(Suppressions, NameATitleAndAReason) {
  const auto s = parse_suppressions(
      "# known\n\nstale-page in foo: seen, harmless because\nstale-table in bar*: later\n", "f");
  ASSERT_TRUE(s);
  AuditResult result;
  for (const char* title : {"stale-page in foo", "stale-page in foobar", "stale-table in barrier"})
    result.violations.emplace_back().title = title;
  suppress(result, *s);
  EXPECT_EQ(result.violations[0].suppressed, "seen, harmless because");
  EXPECT_EQ(result.violations[1].suppressed, "");
  EXPECT_EQ(result.violations[2].suppressed, "later");
}

TEST(Suppressions, WithoutAReasonAreRefusedWithTheirLine) {
  const auto s = parse_suppressions("# one\nstale-page in foo:  \n", "f");
  ASSERT_FALSE(s);
  EXPECT_THAT(s.error().message, HasSubstr("f:2:"));
}

TEST(Qemu, VersionsThatCannotLoadThePluginAreRefused) {
  EXPECT_TRUE(judge_qemu(parse_qemu_version("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)")));
  EXPECT_TRUE(judge_qemu({9, 1}));
  for (QemuVersion v : {QemuVersion{7, 2}, QemuVersion{9, 0}, QemuVersion{11, 0}, QemuVersion{0, 0}}) {
    const auto judged = judge_qemu(v);
    ASSERT_FALSE(judged);
    EXPECT_EQ(judged.error().code, ExitCode::unavailable);
  }
}

TEST(Cpio, WritesHeadersAndPadding) {
  CpioWriter cpio;
  cpio.directory("dev");
  cpio.file("init", "12345", true);
  const std::string archive = cpio.finish();
  EXPECT_EQ(archive.substr(0, 6), "070701");
  EXPECT_EQ(archive.size() % 4, 0u);
  const std::size_t init = archive.find("init");
  ASSERT_NE(init, std::string::npos);
  EXPECT_EQ(archive.substr(init - 110 + 54, 8), "00000005") << "the file's size";
  EXPECT_EQ(archive.substr(init - 110 + 14, 8), "000081ED") << "a regular file, mode 755";
  EXPECT_THAT(archive, HasSubstr("TRAILER!!!"));
}

}  // namespace
}  // namespace shootdown::audit
