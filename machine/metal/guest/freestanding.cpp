// SPDX-License-Identifier: MIT
// The four functions that the compiler may call in freestanding code. Plain loops; nothing here is hot.
#include <cstddef>

extern "C" {

void* memset(void* destination, int value, std::size_t size) {
  auto* d = static_cast<volatile unsigned char*>(destination);
  for (std::size_t i = 0; i < size; ++i) d[i] = static_cast<unsigned char>(value);
  return destination;
}

void* memcpy(void* destination, const void* source, std::size_t size) {
  auto* d = static_cast<volatile unsigned char*>(destination);
  const auto* s = static_cast<const unsigned char*>(source);
  for (std::size_t i = 0; i < size; ++i) d[i] = s[i];
  return destination;
}

void* memmove(void* destination, const void* source, std::size_t size) {
  auto* d = static_cast<volatile unsigned char*>(destination);
  const auto* s = static_cast<const unsigned char*>(source);
  if (d <= s) return memcpy(destination, source, size);
  for (std::size_t i = size; i > 0; --i) d[i - 1] = s[i - 1];
  return destination;
}

int memcmp(const void* a, const void* b, std::size_t size) {
  const auto* p = static_cast<const volatile unsigned char*>(a);
  const auto* q = static_cast<const volatile unsigned char*>(b);
  for (std::size_t i = 0; i < size; ++i)
    if (p[i] != q[i]) return p[i] < q[i] ? -1 : 1;
  return 0;
}

}  // extern "C"
