// SPDX-License-Identifier: MIT
// The PL011 console and the lines that the host reads: one JSON object each, `{"metal":"<kind>",...}`, written
// whole. What is in them is decided by the callers; docs of the keys are in machine/metal/guest_log.hpp.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shootdown::metal::guest {

/// Where the console is. QEMU's virt has its PL011 there; used before and without a device tree.
void set_console(std::uint64_t pl011);

/// Writes characters under the console's lock, which works once caches are on.
void write_console(const char* text, std::size_t size);

/// Builds one line; what does not fit is dropped and the line is marked, never cut inside a token.
class Line {
 public:
  explicit Line(const char* kind) { raw("{\"metal\":"), quoted(kind, ~std::size_t{0}); }

  Line& number(const char* key, std::uint64_t v) { return name(key), decimal(v), *this; }
  Line& boolean(const char* key, bool v) { return name(key), raw(v ? "true" : "false"), *this; }
  Line& text(const char* key, const char* v, std::size_t size = ~std::size_t{0}) {
    return name(key), quoted(v, size), *this;
  }
  Line& hex(const char* key, std::uint64_t v) {
    name(key), raw("\"0x");
    for (int shift = 60; shift >= 0; shift -= 4) put("0123456789abcdef"[v >> shift & 15]);
    return raw("\""), *this;
  }
  Line& begin(const char* key) { return name(key), raw("{"), first_ = true, *this; }
  Line& end() { return raw("}"), first_ = false, *this; }
  /// Writes the line out; the object is of no further use.
  void write() {
    raw("}\n");
    write_console(buffer_, size_);
  }

 private:
  static constexpr std::size_t capacity = 2048;

  void put(char c) {
    if (size_ < capacity) buffer_[size_++] = c;
  }
  void raw(const char* s) {
    while (*s != '\0') put(*s++);
  }
  void name(const char* key) {
    if (!first_) put(',');
    first_ = false;
    quoted(key, ~std::size_t{0});
    put(':');
  }
  void quoted(const char* s, std::size_t size) {
    put('"');
    for (std::size_t i = 0; i < size && s[i] != '\0'; ++i) {
      const char c = s[i];
      if (c == '"' || c == '\\') put('\\');
      put(c >= ' ' && c < 0x7f ? c : '?');
    }
    put('"');
  }
  void decimal(std::uint64_t v) {
    char digits[20];
    unsigned n = 0;
    do digits[n++] = static_cast<char>('0' + v % 10);
    while ((v /= 10) != 0);
    while (n > 0) put(digits[--n]);
  }

  char buffer_[capacity];
  std::size_t size_ = 0;
  bool first_ = false;
};

/// Reports a state that must not be and ends the run.
[[noreturn]] void panic(const char* what);
/// Switches the machine off (PSCI SYSTEM_OFF).
[[noreturn]] void power_off();
/// The conduit of PSCI, once the device tree has told it.
void set_psci_conduit(bool smc);

}  // namespace shootdown::metal::guest
