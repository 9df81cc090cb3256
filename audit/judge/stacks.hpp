// SPDX-License-Identifier: MIT
// Call stacks by number, with names: from `frame` events and whoever knows the kernel's symbols.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace shootdown::audit {

/// The name of a code address as `function+0xoffset/0xsize`.
using Symbolizer = std::function<std::string(std::uint64_t)>;

class Stacks {
 public:
  explicit Stacks(Symbolizer symbolizer) : symbolizer_(std::move(symbolizer)) {}

  /// A `frame` event: innermost first; the second one is the link register, a caller only of leaf functions.
  void add_frame(std::uint32_t stack, unsigned depth, std::uint64_t address);

  /// Names with offsets, innermost first.
  const std::vector<std::string>& places(std::uint32_t stack);
  /// Function names alone.
  const std::vector<std::string>& functions(std::uint32_t stack);
  bool passes_through(std::uint32_t stack, std::string_view function);
  bool any_passes_through(std::string_view function);
  /// Every address that was ever seen, for the trailer of a trace.
  std::map<std::uint64_t, std::string> names() const;

 private:
  struct Stack {
    std::vector<std::uint64_t> addresses;
    std::vector<std::string> places;
    std::vector<std::string> functions;
  };
  const Stack& resolved(std::uint32_t stack);

  Symbolizer symbolizer_;
  std::vector<Stack> stacks_;
};

/// "name" of "name+0x10/0x20".
std::string_view function_of(std::string_view place);

}  // namespace shootdown::audit
