// SPDX-License-Identifier: MIT
// Units as types: a time cannot be added to a count or to a number of bytes. Nothing but the units lives here.
#pragma once

#include <compare>
#include <cstdint>

namespace shootdown::timed {

/// A duration or a point in simulated time, in nanoseconds. An estimate by nature: never a count.
struct Nanoseconds {
  double value = 0;

  constexpr Nanoseconds() = default;
  constexpr explicit Nanoseconds(double v) : value(v) {}

  friend constexpr auto operator<=>(Nanoseconds, Nanoseconds) = default;
  friend constexpr Nanoseconds operator+(Nanoseconds a, Nanoseconds b) {
    return Nanoseconds(a.value + b.value);
  }
  friend constexpr Nanoseconds operator-(Nanoseconds a, Nanoseconds b) {
    return Nanoseconds(a.value - b.value);
  }
  friend constexpr Nanoseconds operator*(Nanoseconds a, double n) { return Nanoseconds(a.value * n); }
  friend constexpr Nanoseconds operator*(double n, Nanoseconds a) { return a * n; }
  friend constexpr double operator/(Nanoseconds a, Nanoseconds b) { return a.value / b.value; }
  constexpr Nanoseconds& operator+=(Nanoseconds other) { return *this = *this + other; }
};

constexpr Nanoseconds max(Nanoseconds a, Nanoseconds b) { return a < b ? b : a; }
constexpr Nanoseconds min(Nanoseconds a, Nanoseconds b) { return b < a ? b : a; }

/// An amount of memory, simulated or the host's.
struct Bytes {
  std::uint64_t value = 0;

  constexpr Bytes() = default;
  constexpr explicit Bytes(std::uint64_t v) : value(v) {}

  friend constexpr auto operator<=>(Bytes, Bytes) = default;
  friend constexpr Bytes operator+(Bytes a, Bytes b) { return Bytes(a.value + b.value); }
};

}  // namespace shootdown::timed
