// SPDX-License-Identifier: MIT
// From what a user names a kernel by to the files that an audit boots: the image, its modules, its release.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "audit/error.hpp"
#include "audit/kernel/apt_archive.hpp"

namespace shootdown::audit {

/// A kernel ready to boot.
struct Kernel {
  std::string name;                   ///< as reports call it: "debian:6.12.43", or the file's path
  std::string release;                ///< "6.12.43+deb12-arm64"; empty for a file of the user's own
  std::filesystem::path image;        ///< an uncompressed arm64 Image
  std::filesystem::path modules_dir;  ///< where *.ko[.xz] are found; empty when there are none
};

/// A kernel that `debian:` can name.
struct DebianKernel {
  std::string version;  ///< "6.12.43"
  std::string flavour;  ///< "arm64", "arm64-16k", "cloud-arm64", "rt-arm64"
  std::string release;
  Package image;
  Package modules;  ///< the same package before the image got one of its own

  std::string spec() const;  ///< "debian:6.12.43", "debian:7.2.13-16k"
};

/// $XDG_CACHE_HOME/shootdown or ~/.cache/shootdown.
std::filesystem::path cache_directory();

/// Every kernel that the archive has at present, oldest first.
Expected<std::vector<DebianKernel>> list_debian_kernels(const Progress& progress);

/// `spec` is a path, or "debian:VERSION[-FLAVOUR]" with a full version ("6.12.43") or its beginning ("6.12",
/// the newest of that series). Errors: `missing_input` for a version that is not to be had any more; the
/// message names the nearest, which is never taken instead.
Expected<Kernel> find_kernel(std::string_view spec, const Progress& progress);

/// A static AArch64 busybox, for workloads that are shell scripts.
Expected<std::filesystem::path> find_busybox(const Progress& progress);

}  // namespace shootdown::audit
