// SPDX-License-Identifier: MIT
// Debian's arm64 packages through an apt configuration of our own: the machine's apt is read, never changed.
// Which package holds what is not decided here (store.hpp).
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/error.hpp"

namespace shootdown::audit {

/// Called with a line about what takes long ("downloading 92 MB ...").
using Progress = std::function<void(std::string_view)>;

/// A package that can be had.
struct Package {
  std::string name;
  std::string version;
  std::string suite;
  std::uint64_t download_bytes = 0;
};

/// A private apt under `cache`. The mirror is that of the machine's own configuration, the signatures are
/// checked by apt with the distribution's keys. Needs no root.
class AptArchive {
 public:
  /// Reads the package lists, at most once a day.
  /// Errors: `unavailable` when apt is missing, knows no Debian mirror, or the mirror cannot be reached.
  static Expected<AptArchive> open(const std::filesystem::path& cache, const Progress& progress);

  /// Packages whose name matches the POSIX extended expression, every version of them.
  Expected<std::vector<Package>> find(std::string_view name_expression) const;

  /// Downloads and verifies a package and unpacks the members that match `patterns` (tar's wildcards) below
  /// `target`. All or nothing: `target` appears complete.
  Expected<void> unpack(const Package& package, const std::vector<std::string>& patterns,
                        const std::filesystem::path& target, const Progress& progress) const;

 private:
  explicit AptArchive(std::filesystem::path root) : root_(std::move(root)) {}
  Expected<std::string> apt(std::vector<std::string> words,
                            const std::filesystem::path& directory = {}) const;

  std::filesystem::path root_;
};

}  // namespace shootdown::audit
