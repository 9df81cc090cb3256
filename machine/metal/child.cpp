// SPDX-License-Identifier: MIT
// fork, exec, two pipes, poll.
#include "machine/metal/child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace shootdown::metal {

namespace {

using Clock = std::chrono::steady_clock;

/// A file descriptor that closes itself.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { close(); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct Pipe {
  Fd read_end, write_end;
  bool open() {
    std::array<int, 2> fds{};
    if (::pipe2(fds.data(), O_CLOEXEC) != 0) return false;
    read_end = Fd(fds[0]);
    write_end = Fd(fds[1]);
    return true;
  }
};

struct Pipes {
  Pipe output, errors, failure;  ///< `failure` carries errno of an exec that failed
  bool open() { return output.open() && errors.open() && failure.open(); }
};

/// In the child: async-signal-safe calls only, because the parent may have threads.
[[noreturn]] void become(char* const* argv, const Pipes& pipes, pid_t parent) {
  ::setpgid(0, 0);
  // If we die, so does it: no QEMU is left behind, whatever ends us.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null >= 0) ::dup2(null, STDIN_FILENO);
  ::dup2(pipes.output.write_end.get(), STDOUT_FILENO);
  ::dup2(pipes.errors.write_end.get(), STDERR_FILENO);
  ::execvp(argv[0], argv);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(pipes.failure.write_end.get(), &error, sizeof(error));
  ::_exit(127);
}

/// errno of a failed exec; 0 when it succeeded and closed the pipe.
int exec_error(const Fd& failure) {
  int error = 0;
  ssize_t n = 0;
  do n = ::read(failure.get(), &error, sizeof(error));
  while (n < 0 && errno == EINTR);
  return n == static_cast<ssize_t>(sizeof(error)) ? error : 0;
}

/// One read; closes the descriptor at its end.
void drain(Fd& fd, const std::function<void(std::string_view)>& sink) {
  std::array<char, 16384> buffer;
  const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
  if (n > 0) {
    if (sink) sink({buffer.data(), static_cast<std::size_t>(n)});
  } else if (n == 0 || errno != EINTR) {
    fd.close();
  }
}

/// Has it ended? It stays a zombie, so that its process group cannot become somebody else's.
bool has_ended(pid_t child) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == child;
}

/// Reads until the child has ended and said all, or it is time to stop; how it ended so far.
ChildExit::How read_output(const ChildSpec& spec, Pipes& pipes, pid_t child) {
  const Clock::time_point deadline = Clock::now() + spec.timeout;
  for (;;) {
    if (spec.interrupted && spec.interrupted()) return ChildExit::How::interrupted;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return ChildExit::How::timed_out;
    // A closed pipe is passed over by poll(), being negative.
    std::array<pollfd, 2> fds{pollfd{pipes.output.read_end.get(), POLLIN, 0},
                              pollfd{pipes.errors.read_end.get(), POLLIN, 0}};
    const int ready = ::poll(fds.data(), fds.size(), static_cast<int>(std::min<long long>(left, 50)));
    // Silent and gone: whoever else holds the pipes open is not waited for.
    if (ready == 0 && has_ended(child)) return ChildExit::How::exited;
    if (ready <= 0) continue;
    if (fds[0].revents != 0) drain(pipes.output.read_end, spec.on_stdout);
    if (fds[1].revents != 0) drain(pipes.errors.read_end, spec.on_stderr);
  }
}

/// Ends whatever is left of the group, and reaps the child.
int end_group(pid_t child) {
  ::kill(-child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

ChildExit run_child(const ChildSpec& spec) {
  Pipes pipes;
  if (spec.argv.empty() || !pipes.open()) return {ChildExit::How::could_not_start, errno};
  std::vector<char*> argv;
  for (const std::string& word : spec.argv) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);

  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return {ChildExit::How::could_not_start, errno};
  if (child == 0) become(argv.data(), pipes, parent);
  ::setpgid(child, child);  // in both processes, so that it holds for whoever goes on first
  pipes.output.write_end.close();
  pipes.errors.write_end.close();
  pipes.failure.write_end.close();

  if (const int error = exec_error(pipes.failure.read_end); error != 0) {
    end_group(child);
    return {ChildExit::How::could_not_start, error};
  }
  const ChildExit::How how = read_output(spec, pipes, child);
  const int status = end_group(child);
  if (how != ChildExit::How::exited) return {how, 0};
  if (WIFSIGNALED(status)) return {ChildExit::How::signalled, WTERMSIG(status)};
  return {ChildExit::How::exited, WEXITSTATUS(status)};
}

}  // namespace shootdown::metal
