// SPDX-License-Identifier: MIT
// Links: scenario
// Any word is either a replay token that can be written again, of a combination that exists, or is refused in one line.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "explore/build_id.hpp"
#include "scenario/token.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shootdown;
  // Most words with another build's name end there: half of the inputs get this one's for nothing.
  std::string text(reinterpret_cast<const char*>(data), size);
  if (size > 0 && data[0] % 2 == 0) text = "sd1." + std::string(build_fingerprint()) + "." + text.substr(1);
  const auto token = scenario::parse_token(text);
  if (!token) {
    if (token.error().empty() || token.error().find('\n') != std::string::npos) std::abort();
    return 0;
  }
  if (scenario::refuse(token->config)) std::abort();
  const auto again = scenario::parse_token(scenario::text_of(*token));
  if (!again || again->path != token->path || again->mutant != token->mutant) std::abort();
  if (scenario::text_of(*again) != scenario::text_of(*token)) std::abort();
  return 0;
}
