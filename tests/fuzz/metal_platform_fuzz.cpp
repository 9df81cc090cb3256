// SPDX-License-Identifier: MIT
// What firmware hands to the image, hostile: any device tree, and any boot arguments.
// Links: machine/metal
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "machine/metal/guest/options.hpp"
#include "machine/metal/guest/platform.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shootdown::metal::guest;
  const std::vector<unsigned char> blob(data, data + size);  // so that reading past its end is seen
  Platform p;
  read_platform(blob.data(), blob.size(), p);
  if (p.cpu_count > max_cpus || p.redistributor_count > p.redistributors.size()) std::abort();

  const std::string line(data, data + size);
  Options o;
  const OptionError e = parse_options(line.c_str(), o);
  if (e.expected == nullptr && (o.run_count == 0 || o.run_count > max_runs || o.memory == 0)) std::abort();
  return 0;
}
