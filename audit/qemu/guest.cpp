// SPDX-License-Identifier: MIT
#include "audit/qemu/guest.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <optional>

#include "audit/guest/protocol.hpp"
#include "audit/process/process.hpp"
#include "audit/qemu/initramfs.hpp"
#include "audit/qemu/qmp.hpp"
#include "audit/qemu/version.hpp"

namespace shootdown::audit {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t console_lines_kept = 30;
constexpr int poll_ms = 200;
constexpr int pipe_bytes = 1 << 20;

std::string killed(int status) { return fmt::format("QEMU was killed by signal {}", status - 128); }

/// A file without a name, which the child opens through its descriptor and which cannot be left behind.
Expected<FileDescriptor> memory_file(const char* name, std::string_view contents) {
  FileDescriptor fd(memfd_create(name, MFD_CLOEXEC));
  if (!fd.is_open()) return fail(ExitCode::internal, "no memory file for {}", name);
  for (std::size_t done = 0; done < contents.size();) {
    const ssize_t n = write(fd.get(), contents.data() + done, contents.size() - done);
    if (n <= 0) return fail(ExitCode::internal, "no memory for {}", name);
    done += static_cast<std::size_t>(n);
  }
  return fd;
}

std::string path_of(const FileDescriptor& fd) { return fmt::format("/proc/self/fd/{}", fd.get()); }

/// Everything that the child inherits.
struct Resources {
  FileDescriptor ram;
  FileDescriptor initramfs;
  FileDescriptor symbols;
  FileDescriptor events_in;   ///< ours
  FileDescriptor events_out;  ///< the plugin's
  FileDescriptor control;     ///< ours
  FileDescriptor control_theirs;
};

Expected<Resources> make_resources(const GuestOptions& options) {
  Resources r;
  auto ram = memory_file("guest-ram", {});
  auto initramfs = build_initramfs(options);
  if (!ram) return tl::unexpected(ram.error());
  if (!initramfs) return tl::unexpected(initramfs.error());
  if (ftruncate(ram->get(), static_cast<off_t>(guest_ram_bytes)) != 0)
    return fail(ExitCode::internal, "no memory for the guest");
  r.ram = std::move(*ram);
  auto initrd = memory_file("initramfs", *initramfs);
  if (!initrd) return tl::unexpected(initrd.error());
  r.initramfs = std::move(*initrd);

  std::string names;
  for (const auto& place : options.watched) names += fmt::format("{:x} {}\n", place.address, place.name);
  auto map = memory_file("symbols", names);
  if (!map) return tl::unexpected(map.error());
  r.symbols = std::move(*map);

  int pipe[2];
  if (pipe2(pipe, O_CLOEXEC) != 0) return fail(ExitCode::internal, "no pipe for events");
  r.events_in = FileDescriptor(pipe[0]);
  r.events_out = FileDescriptor(pipe[1]);
  fcntl(pipe[0], F_SETPIPE_SZ, pipe_bytes);
  auto control = socket_pair();
  if (!control) return tl::unexpected(control.error());
  r.control = std::move((*control)[0]);
  r.control_theirs = std::move((*control)[1]);
  return r;
}

std::vector<std::string> command_line(const GuestOptions& o, const Resources& r) {
  // Addresses must be those of the image (nokaslr); memory copies must be plain stores (nomops: QEMU's plugins
  // see only parts of what a MOPS instruction writes). A warning is shown, a panic ends the machine.
  const std::string kernel_options = fmt::format(
      "console=ttyAMA0 rdinit=/init nokaslr arm64.nomops loglevel=4 panic=-1 oops=panic "
      "shootdown.workload={} shootdown.memory={}",
      o.workload, o.memory_bytes);
  std::vector<std::string> words{
      qemu_program,
      "-nodefaults",
      "-no-user-config",
      "-display",
      "none",
      "-no-reboot",
      "-machine",
      "virt,gic-version=3,memory-backend=ram",
      "-cpu",
      o.cpu_model,
      "-smp",
      std::to_string(o.cpus),
      "-accel",
      "tcg,thread=multi",
      "-m",
      fmt::format("{}M,maxmem=64G,slots=4", guest_ram_bytes >> 20),
      "-object",
      fmt::format("memory-backend-file,id=ram,size={},mem-path={},share=on", guest_ram_bytes, path_of(r.ram)),
      "-kernel",
      o.kernel.image.string(),
      "-initrd",
      path_of(r.initramfs),
      "-append",
      kernel_options,
      "-serial",
      "stdio",
      "-chardev",
      fmt::format("socket,id=control,fd={}", r.control_theirs.get()),
      "-mon",
      "chardev=control,mode=control"};
  if (o.workload == "hot-unplug") {
    words.insert(words.end(),
                 {"-object", fmt::format("memory-backend-ram,id=plugged,size={},reserve=off", o.memory_bytes),
                  "-device", "virtio-mem-pci,id=vmem0,memdev=plugged,requested-size=0,block-size=2M"});
  }
  if (!o.plugin.empty()) {
    std::string plugin =
        fmt::format("file={},ram={},ram_start={},ram_bytes={},fd={},symbols={}", o.plugin.string(),
                    path_of(r.ram), guest_ram_start, guest_ram_bytes, r.events_out.get(), path_of(r.symbols));
    if (o.task) plugin += fmt::format(",task_pid={},task_comm={}", o.task->pid, o.task->comm);
    words.insert(words.end(), {"-plugin", std::move(plugin)});
  }
  return words;
}

/// Follows one guest from its start to its end.
class Run {
 public:
  Run(const GuestOptions& options, const GuestCallbacks& callbacks, Process process, Qmp qmp,
      FileDescriptor events)
      : options_(options),
        callbacks_(callbacks),
        process_(std::move(process)),
        qmp_(std::move(qmp)),
        events_(std::move(events)) {}

  Expected<GuestOutcome> follow() {
    const auto started = Clock::now();
    const auto deadline = started + std::chrono::seconds(options_.timeout_s);
    bool console_open = true;
    bool events_open = !options_.plugin.empty();
    while (console_open || events_open) {
      if (options_.interrupted && options_.interrupted()) return fail(ExitCode::interrupted, "interrupted");
      if (Clock::now() > deadline)
        return failed(fmt::format("the guest did not end within {} s (--timeout)", options_.timeout_s));
      std::array<pollfd, 2> fds{{{console_open ? process_.console() : -1, POLLIN, 0},
                                 {events_open ? events_.get() : -1, POLLIN, 0}}};
      if (poll(fds.data(), fds.size(), poll_ms) <= 0) continue;
      if (fds[1].revents != 0) events_open = read_events();
      if (fds[0].revents != 0) console_open = read_console();
      if (error_) return tl::unexpected(*error_);
    }
    const int status = process_.wait_status();
    if (!outcome_done_) return failed(how_it_ended(status));
    outcome_.seconds = std::chrono::duration<double>(Clock::now() - started).count();
    return outcome_;
  }

 private:
  tl::unexpected<Error> failed(std::string what) const {
    std::string lines;
    for (const std::string& line : console_) lines += line + "\n";
    return tl::unexpected(Error{ExitCode::guest_failed, std::move(what), std::move(lines)});
  }

  std::string how_it_ended(int status) const {
    constexpr std::string_view panic = "Kernel panic - not syncing: ";
    for (const std::string& line : console_)
      if (const std::size_t at = line.find(panic); at != line.npos)
        return fmt::format("the guest panicked: {}", line.substr(at + panic.size()));
    if (status == 0) return "the guest ended before its workload did";
    if (status > 128) return killed(status);
    return fmt::format("QEMU ended with status {}", status);
  }

  bool read_console() {
    std::array<char, 4096> bytes;
    const ssize_t n = read(process_.console(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) return true;
    if (n <= 0) return false;
    for (char c : std::string_view(bytes.data(), static_cast<std::size_t>(n))) {
      if (c == '\r') continue;
      if (c != '\n') {
        line_ += c;
      } else if (!line_.empty()) {
        take_line(std::exchange(line_, {}));
      }
    }
    return true;
  }

  void take_line(std::string line) {
    const std::size_t at = line.find(protocol::prefix);
    if (at == std::string::npos) {
      console_.push_back(std::move(line));
      if (console_.size() > console_lines_kept) console_.pop_front();
      return;
    }
    const std::string_view message = std::string_view(line).substr(at + protocol::prefix.size());
    const std::size_t space = message.find(' ');
    take_message(message.substr(0, space),
                 space == message.npos ? std::string_view() : message.substr(space + 1));
  }

  void take_message(std::string_view verb, std::string_view rest) {
    Expected<void> done;
    if (verb == "ready") {
      outcome_.release = std::string(rest);
      callbacks_.progress(fmt::format("booted {}", rest));
    } else if (verb == "plug") {
      done = qmp_.set_property("/machine/peripheral/vmem0", "requested-size", options_.memory_bytes);
      callbacks_.progress(fmt::format("plugging {} MiB", options_.memory_bytes >> 20));
    } else if (verb == "unplug") {
      done = qmp_.set_property("/machine/peripheral/vmem0", "requested-size", 0);
      callbacks_.progress(fmt::format("unplugging {} MiB", options_.memory_bytes >> 20));
    } else if (verb == "done") {
      outcome_done_ = true;
    } else if (verb == "fail") {
      error_ = failed(fmt::format("the workload {} cannot run in this kernel: {}", options_.workload, rest))
                   .value();
    }
    if (!done) error_ = done.error();
  }

  bool read_events() {
    const std::size_t have = pending_.size();
    pending_.resize(have + pipe_bytes);
    const ssize_t n = read(events_.get(), pending_.data() + have, pipe_bytes);
    pending_.resize(have + static_cast<std::size_t>(n > 0 ? n : 0));
    if (n == 0 || (n < 0 && errno != EINTR)) return false;
    std::size_t at = 0;
    for (std::array<std::uint32_t, 2> sizes; pending_.size() - at >= sizeof sizes;) {
      std::memcpy(sizes.data(), pending_.data() + at, sizeof sizes);
      if (pending_.size() - at - sizeof sizes < sizes[0]) break;
      callbacks_.chunk({pending_.data() + at + sizeof sizes, sizes[0]}, sizes[1]);
      at += sizeof sizes + sizes[0];
    }
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(at));
    return true;
  }

  const GuestOptions& options_;
  const GuestCallbacks& callbacks_;
  Process process_;
  Qmp qmp_;
  FileDescriptor events_;
  std::string line_;
  std::deque<std::string> console_;
  std::vector<std::uint8_t> pending_;
  GuestOutcome outcome_;
  bool outcome_done_ = false;
  std::optional<Error> error_;
};

}  // namespace

Expected<GuestOutcome> run_guest(const GuestOptions& options, const GuestCallbacks& callbacks) {
  if (!options.plugin.empty()) {
    if (auto version = usable_qemu(); !version) return tl::unexpected(version.error());
  }
  auto resources = make_resources(options);
  if (!resources) return tl::unexpected(resources.error());
  auto process = Process::start(command_line(options, *resources),
                                {resources->ram.get(), resources->initramfs.get(), resources->symbols.get(),
                                 resources->events_out.get(), resources->control_theirs.get()});
  if (!process) return tl::unexpected(process.error());
  // Their ends are the child's alone now, so that its end is seen here.
  resources->events_out.close();
  resources->control_theirs.close();
  Qmp qmp(std::move(resources->control));
  if (auto ready = qmp.handshake(); !ready) {
    Error error = ready.error();
    std::array<char, 2048> said;
    int status = process->poll_status();
    // Its sockets close a moment before its status is there.
    for (int i = 0; status < 0 && i < 5; ++i) poll(nullptr, 0, poll_ms), status = process->poll_status();
    const ssize_t n = status >= 0 ? read(process->console(), said.data(), said.size()) : 0;
    if (status > 128)  // somebody else's doing, and not for want of a QEMU that can
      error = {ExitCode::guest_failed, killed(status), {}};
    else
      error.message = fmt::format("{} does not start", qemu_program);
    error.details.assign(said.data(), static_cast<std::size_t>(n > 0 ? n : 0));
    return tl::unexpected(std::move(error));
  }
  return Run(options, callbacks, std::move(*process), std::move(qmp), std::move(resources->events_in))
      .follow();
}

}  // namespace shootdown::audit
