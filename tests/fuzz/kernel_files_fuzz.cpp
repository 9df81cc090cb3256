// SPDX-License-Identifier: MIT
// What a user gives for a kernel, hostile: the Image with its symbols and types, vmlinux, System.map, suppressions. Read,
// or refused in one line.
// Links: audit
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include "audit/kernel/btf.hpp"
#include "audit/kernel/elf_symbols.hpp"
#include "audit/kernel/image.hpp"
#include "audit/kernel/kallsyms.hpp"
#include "audit/kernel/symbols.hpp"
#include "audit/suppress.hpp"

namespace {

using namespace shootdown::audit;
using Bytes = std::vector<std::uint8_t>;

template <typename T>
void is_one_line(const Expected<T>& read) {
  if (read) return;
  const std::string& message = read.error().message;
  if (message.empty() || message.find('\n') != std::string::npos) std::abort();
}

void append(Bytes& to, const std::string& bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

/// An Image with the one regularity in it by which its symbols are found, which no fuzzer would hit upon: 256 strings and
/// their offsets. What stands before and after them is the input's.
Bytes image_of(const std::uint8_t* data, std::size_t size) {
  Bytes image(64);
  std::memcpy(image.data() + 56, "ARM\x64", 4);
  image[18] = 1;  // 64 KiB at run time
  const std::size_t before = size == 0 ? 0 : data[0] * size / 256;
  image.insert(image.end(), data, data + before);
  image.resize((image.size() + 7) & ~std::size_t{7});
  std::string strings, index;
  for (unsigned i = 0; i < 256; ++i) {
    index += static_cast<char>(strings.size() & 0xff);
    index += static_cast<char>(strings.size() >> 8);
    strings += i > ' ' && i < 127 ? std::string(1, static_cast<char>(i)) : std::string("ab");
    strings += '\0';
  }
  append(image, strings);
  image.resize((image.size() + 7) & ~std::size_t{7});
  append(image, index);
  image.insert(image.end(), data + before, data + size);
  return image;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(data + 1, data + size);
  switch (data[0] % 4) {
    case 0: {
      is_one_line(parse_system_map(text, "System.map"));
      is_one_line(parse_suppressions(text, "suppressions"));
      return 0;
    }
    case 1: {
      static const int file = memfd_create("vmlinux", 0);
      if (ftruncate(file, 0) != 0 || pwrite(file, text.data(), text.size(), 0) < 0) std::abort();
      is_one_line(read_elf_symbols("/proc/self/fd/" + std::to_string(file)));
      return 0;
    }
    default: {
      Bytes bytes = data[0] % 4 == 2 ? Bytes(data + 1, data + size) : image_of(data + 1, size - 1);
      const auto image = parse_image(std::move(bytes), "Image");
      is_one_line(image);
      if (!image) return 0;
      is_one_line(read_kallsyms(*image));
      (void)read_task_layout(*image);
      return 0;
    }
  }
}
