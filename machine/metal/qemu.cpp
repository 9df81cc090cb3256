// SPDX-License-Identifier: MIT
// QEMU's command line, and telling the ways apart in which a run can go wrong.
#include "machine/metal/qemu.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fstream>

#include "machine/metal/child.hpp"

namespace shootdown::metal {

namespace {

/// The last lines of a text, empty ones left out.
std::vector<std::string> last_lines(const std::string& text) {
  GuestLog log;
  log.feed(text);
  log.finish();
  return {log.tail().begin(), log.tail().end()};
}

void fail(QemuRun& run, RunFailure failure, std::string message) {
  run.failure = failure;
  run.message = std::move(message);
}

std::string where(const GuestLog& log) {
  if (!log.start()) return " before the image was up";
  return log.phase().empty() ? "" : fmt::format(" in phase \"{}\"", log.phase());
}

std::string describe(const ChildExit& exit) {
  if (exit.how == ChildExit::How::signalled) return fmt::format("was killed by signal {}", exit.code);
  return fmt::format("exited with status {}", exit.code);
}

/// After the process has ended: is the log complete, and if not, why?
void judge(const QemuSpec& spec, const ChildExit& exit, const std::string& errors, QemuRun& run) {
  const GuestLog& log = run.log;
  const std::vector<std::string> qemu_said = last_lines(errors);
  const std::string reason = qemu_said.empty() ? "" : ": " + qemu_said.back();
  run.last_lines.assign(log.tail().begin(), log.tail().end());
  if (exit.how == ChildExit::How::could_not_start)
    return fail(
        run, RunFailure::unavailable,
        fmt::format("cannot start {}: {}; install the package qemu-system-arm, or name it with --qemu",
                    spec.program, std::strerror(exit.code)));
  if (exit.how == ChildExit::How::interrupted) return fail(run, RunFailure::interrupted, "interrupted");
  if (!log.unsupported().empty())
    return fail(run, RunFailure::unsupported,
                fmt::format("CPU model {} has no {}; name another with --cpu", spec.cpu, log.unsupported()));
  if (!log.trouble().empty())
    return fail(run, RunFailure::died, fmt::format("the image stopped{}: {}", where(log), log.trouble()));
  if (exit.how == ChildExit::How::timed_out)
    return fail(
        run, RunFailure::died,
        fmt::format("the guest did not end within {} s{}; a longer time is --timeout SECONDS",
                    std::chrono::duration_cast<std::chrono::seconds>(spec.timeout).count(), where(log)));
  const bool clean = exit.how == ChildExit::How::exited && exit.code == 0;
  if (clean && log.ended() && log.start()) return;
  if (!clean && !log.start()) {
    run.last_lines = qemu_said;
    return fail(run, RunFailure::unavailable, fmt::format("{} {}{}", spec.program, describe(exit), reason));
  }
  if (!clean)
    return fail(run, RunFailure::died,
                fmt::format("{} {}{}{}", spec.program, describe(exit), where(log), reason));
  if (log.tail().empty()) return fail(run, RunFailure::died, "the guest ended without a word on its console");
  fail(run, RunFailure::died, fmt::format("the guest ended{} without a closing line", where(log)));
}

}  // namespace

std::vector<std::string> qemu_command(const QemuSpec& spec) {
  return {spec.program, "-M", "virt,gic-version=3", "-accel", spec.accelerator, "-cpu", spec.cpu, "-smp",
          std::to_string(spec.cpus), "-m", fmt::format("{}M", (spec.memory_bytes + 0xfffff) >> 20),
          // Nothing but CPUs, memory and a serial line: no display, no network, no monitor.
          "-nodefaults", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-kernel",
          spec.image, "-append", spec.bootargs};
}

/// A file without a name for the plugin's numbers, one a line.
class CountFile {
 public:
  explicit CountFile(const std::string& plugin)
      : fd_(plugin.empty() ? -1 : ::memfd_create("instructions", MFD_CLOEXEC)) {}
  CountFile(const CountFile&) = delete;
  CountFile& operator=(const CountFile&) = delete;
  ~CountFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool is_open() const { return fd_ >= 0; }
  /// The child opens it anew, through this process.
  std::string path() const { return fmt::format("/proc/{}/fd/{}", ::getpid(), fd_); }

  std::vector<std::uint64_t> numbers() const {
    std::vector<std::uint64_t> all;
    if (!is_open()) return all;
    std::ifstream file(path());
    for (std::uint64_t n = 0; file >> n;) all.push_back(n);
    return all;
  }

 private:
  int fd_;
};

QemuRun run_qemu(const QemuSpec& spec) {
  QemuRun run;
  if (::access(spec.image.c_str(), R_OK) != 0) {
    fail(run, RunFailure::unavailable,
         fmt::format(
             "{}: {}; it is built where aarch64-linux-gnu-g++ (package g++-aarch64-linux-gnu) is installed",
             spec.image, std::strerror(errno)));
    return run;
  }
  constexpr std::size_t kept_errors = 65536;
  std::string errors;
  ChildSpec child;
  child.argv = qemu_command(spec);
  const CountFile counted(spec.plugin);
  if (counted.is_open())
    child.argv.insert(child.argv.end(),
                      {"-plugin", fmt::format("file={},count={}", spec.plugin, counted.path())});
  child.timeout = spec.timeout;
  child.interrupted = spec.interrupted;
  child.on_stdout = [&](std::string_view bytes) {
    run.log.feed(bytes);
    if (spec.on_progress) spec.on_progress(run.log);
  };
  child.on_stderr = [&](std::string_view bytes) {
    errors += bytes;
    if (errors.size() > kept_errors) errors.erase(0, errors.size() - kept_errors);
  };
  const ChildExit exit = run_child(child);
  run.log.finish();
  run.instructions = counted.numbers();
  judge(spec, exit, errors, run);
  return run;
}

}  // namespace shootdown::metal
