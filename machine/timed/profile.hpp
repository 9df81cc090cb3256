// SPDX-License-Identifier: MIT
// A hardware profile: the shape of a machine and its figures, each with the range and the source that it came
// from. Reading one from TOML is profile_toml.hpp.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "machine/machine.hpp"
#include "machine/timed/parameters.hpp"

namespace shootdown::timed {

/// How sure a figure is.
enum class Status : std::uint8_t {
  published,  ///< a public measurement or document says so
  derived,    ///< computed from one; the source says how
  guess,      ///< an engineer's guess
  user,       ///< measured on this very machine by whoever wrote the profile
};
inline constexpr std::array<std::string_view, 4> status_names{"published", "derived", "guess", "user"};

struct TimeUnit {
  std::string_view name;
  double nanoseconds;
};
inline constexpr std::array<TimeUnit, 4> time_units{{{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}}};
/// A figure's value as a profile would say it: "0.35 us" is "350 ns", 0.5 is "0.5".
std::string readable(const ParamInfo& p, double value);

/// FEAT_BBM levels as profiles spell them, by vmsa::BbmLevel.
inline constexpr std::array<std::string_view, 4> bbm_names{"level0", "level1", "level2", "level2_no_abort"};

struct Figure {
  double value = 0;
  double low = 0;
  double high = 0;
  Status status = Status::guess;
  std::string source;
};

struct Profile {
  std::string name;
  std::string title;
  unsigned cpus = 1;
  unsigned sockets = 1;
  bool range_tlbi = true;
  vmsa::BbmLevel bbm = vmsa::BbmLevel::level0;
  bool repeat_tlbi_affected = false;  ///< the cores are on the list of the 2026 repeat-TLBI erratum
  std::array<Figure, param_count> figures;

  Figure& operator[](Param p) { return figures[static_cast<std::size_t>(p)]; }
  const Figure& operator[](Param p) const { return figures[static_cast<std::size_t>(p)]; }

  ParamValues central() const;
  /// Sixteen hex digits over everything that decides a result: two results with equal digests are comparable.
  std::string digest() const;
  /// How many figures have each status, by Status.
  std::array<unsigned, status_names.size()> status_counts() const;
  /// Sockets that `n` CPUs of this kind fill.
  unsigned sockets_for(unsigned n) const;
};

}  // namespace shootdown::timed
