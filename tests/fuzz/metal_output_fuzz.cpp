// SPDX-License-Identifier: MIT
// The guest's console, hostile: any bytes, in any pieces. Whatever they are, the log stays bounded and printable,
// and says the same for the same bytes however they were cut.
// Links: machine/metal
#include <cstdint>
#include <cstdlib>

#include "machine/metal/guest_log.hpp"

namespace {

using shootdown::metal::GuestLog;

void require(bool holds) {
  if (!holds) std::abort();
}

GuestLog read(std::string_view text, std::size_t piece) {
  GuestLog log;
  for (std::size_t at = 0; at < text.size(); at += piece) log.feed(text.substr(at, piece));
  log.finish();
  return log;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const GuestLog whole = read(text, size + 1);
  const GuestLog pieces = read(text, 3);
  require(whole.start().has_value() == pieces.start().has_value());
  require(whole.results().size() == pieces.results().size() && whole.ended() == pieces.ended());
  require(whole.trouble() == pieces.trouble() && whole.tail() == pieces.tail());
  require(whole.tail().size() <= GuestLog::tail_lines);
  for (const std::string& line : whole.tail())
    for (char c : line) require(c >= ' ' && c < 0x7f);
  return 0;
}
