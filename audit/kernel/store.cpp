// SPDX-License-Identifier: MIT
// How Debian has cut a kernel into packages over the years, and the cache of what was unpacked.
#include "audit/kernel/store.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <optional>
#include <regex>

namespace shootdown::audit {
namespace fs = std::filesystem;
namespace {

using VersionNumber = std::array<unsigned long, 3>;

VersionNumber parse_version(std::string_view text) {
  VersionNumber v{};
  const std::string s(text);
  const char* p = s.c_str();
  for (auto& part : v) {
    char* end = nullptr;
    part = std::strtoul(p, &end, 10);
    if (end == p) break;
    p = *end == '.' ? end + 1 : end;
  }
  return v;
}

/// "linux-image-6.12.43+deb12-arm64-16k" -> release and flavour. Names like 6.1.0-47 carry an ABI number
/// instead of the version: there the package's own version says which it is.
std::optional<DebianKernel> parse_name(const Package& package) {
  static const std::regex pattern(
      "linux-(image|binary)-(([0-9.]+)([^a-z]*(?:deb[0-9.]+)?)-((?:cloud-|rt-)?arm64(?:-16k)?))");
  std::smatch m;
  if (!std::regex_match(package.name, m, pattern)) return std::nullopt;
  DebianKernel kernel{
      .version = m[3], .flavour = m[5], .release = m[2], .image = package, .modules = package};
  if (kernel.version.ends_with(".0")) kernel.version = package.version.substr(0, package.version.find('-'));
  return kernel;
}

std::string default_flavour_suffix(const std::string& flavour) {
  if (flavour == "arm64") return "";
  if (flavour == "arm64-16k") return "-16k";
  return "-" + flavour.substr(0, flavour.find('-'));
}

/// A file below `dir` with this name prefix.
fs::path file_named(const fs::path& dir, std::string_view prefix) {
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(dir, error)) {
    if (entry.is_regular_file(error) && entry.path().filename().string().starts_with(prefix))
      return entry.path();
  }
  return {};
}

Expected<Kernel> find_file(std::string_view path) {
  Kernel kernel{.name = std::string(path), .release = {}, .image = fs::path(path), .modules_dir = {}};
  std::error_code error;
  if (!fs::is_regular_file(kernel.image, error))
    return fail(ExitCode::missing_input, "no kernel image {}: give a file, or debian:VERSION (list kernels)",
                path);
  return kernel;
}

std::string nearest_spec(const std::vector<DebianKernel>& kernels, const std::string& flavour,
                         VersionNumber wanted) {
  auto distance = [&](const DebianKernel& k) {
    const VersionNumber v = parse_version(k.version);
    std::array<unsigned long, 3> d{};
    for (int i = 0; i < 3; ++i) d[i] = v[i] > wanted[i] ? v[i] - wanted[i] : wanted[i] - v[i];
    return d;
  };
  const DebianKernel* best = nullptr;
  for (const DebianKernel& k : kernels) {
    if (k.flavour == flavour && (!best || distance(k) < distance(*best))) best = &k;
  }
  return best ? best->spec() : "none";
}

Expected<DebianKernel> resolve(const std::vector<DebianKernel>& kernels, std::string_view spec) {
  static const std::regex pattern("debian:([0-9]+(?:\\.[0-9]+)*)(?:-(16k|cloud|rt))?");
  std::cmatch m;
  if (!std::regex_match(spec.begin(), spec.end(), m, pattern))
    return fail(ExitCode::usage,
                "{} is no kernel: debian:VERSION, such as debian:6.12.43 or debian:7.2.13-16k", spec);
  const std::string version = m[1];
  const std::string suffix = m[2];
  const std::string flavour = suffix.empty() ? "arm64" : suffix == "16k" ? "arm64-16k" : suffix + "-arm64";
  const DebianKernel* found = nullptr;
  for (const DebianKernel& k : kernels) {
    if (k.flavour == flavour && (k.version == version || k.version.starts_with(version + "."))) found = &k;
  }
  if (found) return *found;
  return fail(ExitCode::missing_input, "{} is not to be had from this machine's mirror; the nearest is {}",
              spec, nearest_spec(kernels, flavour, parse_version(version)));
}

}  // namespace

std::string DebianKernel::spec() const { return "debian:" + version + default_flavour_suffix(flavour); }

fs::path cache_directory() {
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg && *xdg == '/') return fs::path(xdg) / "shootdown";
  const char* home = std::getenv("HOME");
  return fs::path(home && *home ? home : "/var/tmp") / ".cache" / "shootdown";
}

Expected<std::vector<DebianKernel>> list_debian_kernels(const Progress& progress) {
  auto archive = AptArchive::open(cache_directory(), progress);
  if (!archive) return tl::unexpected(archive.error());
  auto packages = archive->find("^linux-(image|binary|modules)-[0-9].*arm64(-16k)?$");
  if (!packages) return tl::unexpected(packages.error());

  std::map<std::string, DebianKernel> by_release;
  for (const Package& package : *packages) {
    auto kernel = parse_name(package);
    // An image package without an image is a metapackage of a kernel whose image has its own (7.2 and later).
    if (!kernel || package.download_bytes < 4'000'000) continue;
    by_release.insert_or_assign(kernel->release, *kernel);
  }
  for (const Package& package : *packages) {
    constexpr std::string_view prefix = "linux-modules-";
    if (!package.name.starts_with(prefix)) continue;
    if (auto it = by_release.find(package.name.substr(prefix.size())); it != by_release.end())
      it->second.modules = package;
  }
  std::vector<DebianKernel> kernels;
  for (auto& [release, kernel] : by_release) kernels.push_back(std::move(kernel));
  std::ranges::sort(kernels, [](const DebianKernel& a, const DebianKernel& b) {
    return std::tuple(parse_version(a.version), a.flavour, a.release) <
           std::tuple(parse_version(b.version), b.flavour, b.release);
  });
  return kernels;
}

Expected<Kernel> find_kernel(std::string_view spec, const Progress& progress) {
  if (!spec.starts_with("debian:")) return find_file(spec);
  // A kernel that was unpacked once needs no archive any more.
  const fs::path kernels_dir = cache_directory() / "kernels";
  const fs::path link = kernels_dir / std::string(spec.substr(7));
  std::error_code error;
  if (!fs::exists(link, error)) {
    auto kernels = list_debian_kernels(progress);
    if (!kernels) return tl::unexpected(kernels.error());
    auto kernel = resolve(*kernels, spec);
    if (!kernel) return tl::unexpected(kernel.error());
    // Under its own name it may be there already.
    if (spec != kernel->spec()) return find_kernel(kernel->spec(), progress);
    auto archive = AptArchive::open(cache_directory(), progress);
    if (!archive) return tl::unexpected(archive.error());
    const fs::path dir = kernels_dir / kernel->release;
    fs::create_directories(dir, error);
    auto unpacked =
        archive->unpack(kernel->image, {"*/vmlinuz*", "*/config-*", "*/virtio_mem.ko*", "*/virtio_pci*.ko*"},
                        dir / "image", progress);
    if (unpacked && kernel->modules.name != kernel->image.name)
      unpacked = archive->unpack(kernel->modules, {"*/virtio_mem.ko*", "*/virtio_pci*.ko*"}, dir / "modules",
                                 progress);
    if (!unpacked) return tl::unexpected(unpacked.error());
    fs::create_directory_symlink(kernel->release, link, error);
  }
  const fs::path dir = fs::canonical(link, error);
  Kernel kernel{.name = std::string(spec),
                .release = dir.filename().string(),
                .image = file_named(dir, "vmlinuz"),
                .modules_dir = dir};
  if (kernel.image.empty())
    return fail(ExitCode::bad_data, "no kernel image in {}: remove that folder and try again", dir.string());
  return kernel;
}

Expected<fs::path> find_busybox(const Progress& progress) {
  const fs::path dir = cache_directory() / "busybox";
  if (!fs::exists(dir)) {
    auto archive = AptArchive::open(cache_directory(), progress);
    if (!archive) return tl::unexpected(archive.error());
    auto packages = archive->find("^busybox-static$");
    if (!packages) return tl::unexpected(packages.error());
    if (packages->empty())
      return fail(ExitCode::unavailable, "this machine's mirror has no busybox-static for arm64");
    if (auto ok = archive->unpack(packages->front(), {"./bin/busybox", "./usr/bin/busybox"}, dir, progress);
        !ok)
      return tl::unexpected(ok.error());
  }
  fs::path found = file_named(dir, "busybox");
  if (found.empty())
    return fail(ExitCode::bad_data, "no busybox in {}: remove that folder and try again", dir.string());
  return found;
}

}  // namespace shootdown::audit
