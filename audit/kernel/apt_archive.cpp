// SPDX-License-Identifier: MIT
// apt's own programs do the resolving, the downloading and the verifying.
#include "audit/kernel/apt_archive.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>

#include "audit/process/command.hpp"

namespace shootdown::audit {
namespace fs = std::filesystem;
namespace {

constexpr std::array suites{"bookworm", "bookworm-backports", "trixie", "sid"};
constexpr const char* keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The address that the machine's own apt takes Debian from.
Expected<std::string> machine_mirror() {
  auto text = output_of(
      {.words = {"apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(SITE)", "Created-By: Packages"},
       .environment = {},
       .directory = {}});
  if (!text) return tl::unexpected(text.error());
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    constexpr std::string_view wanted = "Debian|Debian|";
    if (line.starts_with(wanted)) return line.substr(wanted.size());
  }
  return fail(ExitCode::unavailable,
              "this machine's apt has no source of Debian packages: add one, or give --kernel an Image file");
}

Expected<void> write_configuration(const fs::path& root, const std::string& mirror) {
  std::error_code error;
  for (const char* dir : {"lists/partial", "archives/partial"}) fs::create_directories(root / dir, error);
  std::ofstream sources(root / "sources.list");
  const std::string signed_by = fs::exists(keyring) ? fmt::format(" signed-by={}", keyring) : "";
  for (const char* suite : suites)
    sources << fmt::format("deb [arch=arm64{}] {} {} main\n", signed_by, mirror, suite);
  std::ofstream(root / "status").flush();
  std::ofstream conf(root / "apt.conf");
  conf << "APT::Architectures { \"amd64\"; \"arm64\"; };\n"
       << "APT::Sandbox::User \"\";\n"
       << "APT::Get::List-Cleanup \"true\";\n"
       << "Acquire::Languages \"none\";\n"
       << fmt::format("Dir::Etc::sourcelist \"{}\";\n", (root / "sources.list").string())
       << "Dir::Etc::sourceparts \"-\";\n"
       << fmt::format("Dir::State::Lists \"{}\";\n", (root / "lists").string())
       << fmt::format("Dir::State::status \"{}\";\n", (root / "status").string())
       << fmt::format("Dir::Cache \"{}\";\n", root.string());
  if (!conf.flush() || !sources.flush())
    return fail(ExitCode::missing_input, "cannot write to {}: set XDG_CACHE_HOME to a folder of yours",
                root.string());
  return {};
}

bool read_within_a_day(const fs::path& stamp) {
  std::error_code error;
  const auto written = fs::last_write_time(stamp, error);
  return !error && fs::file_time_type::clock::now() - written < std::chrono::hours(24);
}

/// Two audits of one user may start together: the second waits for the first one's downloads.
class CacheLock {
 public:
  explicit CacheLock(const fs::path& root)
      : fd_(::open((root / "lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666)) {
    if (fd_ >= 0) flock(fd_, LOCK_EX);
  }
  ~CacheLock() {
    if (fd_ >= 0) close(fd_);
  }
  CacheLock(const CacheLock&) = delete;
  CacheLock& operator=(const CacheLock&) = delete;

 private:
  int fd_;
};

/// "123456 <name>" stanzas of apt-cache show, one package version each.
std::vector<Package> parse_show(const std::string& text) {
  std::vector<Package> packages;
  Package current;
  std::istringstream lines(text);
  auto field = [](const std::string& line, std::string_view name) -> std::string {
    return line.starts_with(name) ? line.substr(name.size()) : std::string();
  };
  auto finish = [&] {
    if (!current.name.empty()) packages.push_back(current);
    current = {};
  };
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) finish();
    if (auto v = field(line, "Package: "); !v.empty()) current.name = v;
    if (auto v = field(line, "Version: "); !v.empty()) current.version = v;
    if (auto v = field(line, "Size: "); !v.empty())
      current.download_bytes = std::strtoull(v.c_str(), nullptr, 10);
  }
  finish();
  return packages;
}

}  // namespace

Expected<AptArchive> AptArchive::open(const fs::path& cache, const Progress& progress) {
  const fs::path root = cache / "apt";
  std::error_code error;
  fs::create_directories(root, error);
  const CacheLock lock(root);
  AptArchive archive(root);
  const fs::path stamp = root / "lists.stamp";
  if (read_within_a_day(stamp)) return archive;

  auto mirror = machine_mirror();
  if (!mirror) return tl::unexpected(mirror.error());
  if (auto written = write_configuration(root, *mirror); !written) return tl::unexpected(written.error());
  progress("reading Debian's package lists for arm64");
  // One suite that fails (an old machine's keys, a withdrawn suite) must not cost the others.
  auto updated = archive.apt({"apt-get", "-q", "update"});
  if (auto found = archive.find("^linux-image-.*-arm64$"); !found || found->empty()) {
    return tl::unexpected(Error{ExitCode::unavailable,
                                "the package lists cannot be read from this machine's mirror",
                                updated ? std::string() : updated.error().details});
  }
  if (updated) std::ofstream(stamp).flush();
  return archive;
}

Expected<std::string> AptArchive::apt(std::vector<std::string> words, const fs::path& directory) const {
  return output_of({.words = std::move(words),
                    .environment = {{"APT_CONFIG", (root_ / "apt.conf").string()}, {"LC_ALL", "C"}},
                    .directory = directory.string()});
}

Expected<std::vector<Package>> AptArchive::find(std::string_view name_expression) const {
  auto names = apt({"apt-cache", "search", "--names-only", std::string(name_expression)});
  if (!names) return tl::unexpected(names.error());
  std::vector<std::string> words{"apt-cache", "show"};
  std::istringstream lines(*names);
  for (std::string line; std::getline(lines, line);)
    words.push_back(line.substr(0, line.find(' ')) + ":arm64");
  if (words.size() == 2) return std::vector<Package>();
  auto shown = apt(std::move(words));
  if (!shown) return tl::unexpected(shown.error());
  return parse_show(*shown);
}

Expected<void> AptArchive::unpack(const Package& package, const std::vector<std::string>& patterns,
                                  const fs::path& target, const Progress& progress) const {
  const CacheLock lock(root_);
  if (fs::exists(target)) return {};
  progress(fmt::format("downloading {} {} ({} MB)", package.name, package.version,
                       (package.download_bytes + 999'999) / 1'000'000));
  const fs::path fetched = root_ / "archives" / fmt::format("{}.{}", package.name, getpid());
  const fs::path partial = target.string() + fmt::format(".{}", getpid());
  std::error_code error;
  fs::create_directories(fetched, error);
  fs::create_directories(partial, error);
  auto result =
      apt({"apt-get", "-q", "download", fmt::format("{}:arm64={}", package.name, package.version)}, fetched);
  for (const auto& deb : fs::directory_iterator(fetched, error)) {
    // dpkg writes the members as a tar stream; only what an audit needs is kept, a tenth of the package.
    std::string tar =
        fmt::format("dpkg --fsys-tarfile \"$1\" | tar -x -C \"$2\" --no-same-owner --wildcards");
    for (const std::string& pattern : patterns) tar += fmt::format(" '{}'", pattern);
    auto unpacked = run_command({.words = {"sh", "-c", tar, "sh", deb.path().string(), partial.string()},
                                 .environment = {},
                                 .directory = {}});
    // tar reports patterns without a member as an error; the caller looks for the files that it needs.
    if (!unpacked) result = tl::unexpected(unpacked.error());
  }
  fs::remove_all(fetched, error);
  if (result) fs::rename(partial, target, error);
  if (!result || error) {
    fs::remove_all(partial);
    if (result) return fail(ExitCode::missing_input, "cannot write {}: {}", target.string(), error.message());
    Error why = result.error();
    why.message = fmt::format("cannot download {} {}", package.name, package.version);
    return tl::unexpected(std::move(why));
  }
  return {};
}

}  // namespace shootdown::audit
