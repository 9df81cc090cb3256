// SPDX-License-Identifier: MIT
// What follows from a profile's figures.
#include "machine/timed/profile.hpp"

#include <fmt/format.h>

#include <bit>

namespace shootdown::timed {

std::string readable(const ParamInfo& p, double value) {
  if (p.dimension != Dimension::time) return fmt::format("{:g}", value);
  TimeUnit unit = time_units[0];
  for (const TimeUnit& u : time_units)
    if (value >= u.nanoseconds) unit = u;
  return fmt::format("{:g} {}", value / unit.nanoseconds, unit.name);
}

ParamValues Profile::central() const {
  ParamValues values;
  for (const ParamInfo& p : param_infos) values[p.param] = (*this)[p.param].value;
  return values;
}

std::string Profile::digest() const {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, a byte at a time
  const auto add = [&](std::uint64_t word) {
    for (unsigned i = 0; i < 8; ++i) hash = (hash ^ (word >> (8 * i) & 0xff)) * 0x100000001b3;
  };
  add(std::uint64_t{cpus} << 32 | sockets);
  add(std::uint64_t{range_tlbi} << 8 | static_cast<std::uint64_t>(bbm));
  for (const Figure& f : figures)
    for (double value : {f.value, f.low, f.high}) add(std::bit_cast<std::uint64_t>(value));
  return fmt::format("{:016x}", hash);
}

std::array<unsigned, status_names.size()> Profile::status_counts() const {
  std::array<unsigned, status_names.size()> counts{};
  for (const Figure& f : figures) ++counts[static_cast<std::size_t>(f.status)];
  return counts;
}

unsigned Profile::sockets_for(unsigned n) const {
  const unsigned per_socket = (cpus + sockets - 1) / sockets;
  return (n + per_socket - 1) / per_socket;
}

}  // namespace shootdown::timed
