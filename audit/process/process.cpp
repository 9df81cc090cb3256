// SPDX-License-Identifier: MIT
#include "audit/process/process.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace shootdown::audit {
namespace {

constexpr int exec_failed_status = 127;

[[noreturn]] void run_child(const std::vector<std::string>& words, int console,
                            const std::vector<int>& inherited) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(console, STDOUT_FILENO);
  dup2(console, STDERR_FILENO);
  for (int fd : inherited) fcntl(fd, F_SETFD, 0);
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(exec_failed_status);
}

}  // namespace

void FileDescriptor::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Expected<Process> Process::start(const std::vector<std::string>& words, const std::vector<int>& inherited) {
  int pipe[2];
  if (pipe2(pipe, O_CLOEXEC) != 0) return fail(ExitCode::internal, "no pipe for {}", words[0]);
  FileDescriptor console(pipe[0]);
  const pid_t pid = fork();
  if (pid == 0) run_child(words, pipe[1], inherited);
  ::close(pipe[1]);
  if (pid < 0) return fail(ExitCode::internal, "cannot start {}", words[0]);
  setpgid(pid, pid);
  return Process(pid, std::move(console));
}

int Process::collect(int options) {
  if (pid_ < 0 || status_ >= 0) return status_;
  int status = 0;
  pid_t ended;
  while ((ended = waitpid(pid_, &status, options)) < 0 && errno == EINTR) {
  }
  if (ended == pid_) status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return status_;
}

int Process::poll_status() { return collect(WNOHANG); }
int Process::wait_status() { return collect(0); }

void Process::kill() {
  if (pid_ < 0) return;
  if (status_ < 0) ::kill(-pid_, SIGKILL);
  collect(0);
  pid_ = -1;
}

Expected<std::array<FileDescriptor, 2>> socket_pair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    return fail(ExitCode::internal, "no socket pair");
  return std::array{FileDescriptor(fds[0]), FileDescriptor(fds[1])};
}

}  // namespace shootdown::audit
