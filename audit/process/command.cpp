// SPDX-License-Identifier: MIT
// fork, exec and two pipes. The child dies with its parent, so that an interrupted run leaves nothing behind.
#include "audit/process/command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace shootdown::audit {
namespace {

constexpr int exec_failed_status = 127;

[[noreturn]] void run_child(const Command& command, int out, int err) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  if (!command.directory.empty() && chdir(command.directory.c_str()) != 0) _exit(exec_failed_status);
  for (const auto& [name, value] : command.environment) setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> argv;
  for (const std::string& word : command.words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(exec_failed_status);
}

/// Reads both pipes to their ends; one after the other would let a talkative child block.
void drain(int out, int err, CommandResult& result) {
  std::array<pollfd, 2> fds{{{out, POLLIN, 0}, {err, POLLIN, 0}}};
  std::array<std::string*, 2> texts{&result.out, &result.err};
  std::array<char, 65536> buffer;
  for (int open = 2; open > 0;) {
    if (poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return;
    for (std::size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      const ssize_t n = read(fds[i].fd, buffer.data(), buffer.size());
      if (n > 0) {
        texts[i]->append(buffer.data(), static_cast<std::size_t>(n));
      } else if (n == 0 || errno != EINTR) {
        fds[i].fd = -1;
        --open;
      }
    }
  }
}

}  // namespace

Expected<CommandResult> run_command(const Command& command) {
  int out[2];
  int err[2];
  if (pipe2(out, O_CLOEXEC) != 0) return fail(ExitCode::internal, "no pipe for {}", command.words[0]);
  if (pipe2(err, O_CLOEXEC) != 0) {
    close(out[0]), close(out[1]);
    return fail(ExitCode::internal, "no pipe for {}", command.words[0]);
  }
  const pid_t child = fork();
  if (child == 0) run_child(command, out[1], err[1]);
  close(out[1]), close(err[1]);
  CommandResult result;
  if (child > 0) drain(out[0], err[0], result);
  close(out[0]), close(err[0]);
  if (child < 0) return fail(ExitCode::internal, "cannot start {}", command.words[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (result.status == exec_failed_status && result.err.empty())
    return fail(ExitCode::unavailable, "cannot run {}: install the package that has it", command.words[0]);
  return result;
}

Expected<std::string> output_of(const Command& command) {
  auto result = run_command(command);
  if (!result) return tl::unexpected(result.error());
  if (result->status != 0) {
    return tl::unexpected(Error{ExitCode::unavailable,
                                fmt::format("{} failed with status {}", command.words[0], result->status),
                                result->err});
  }
  return std::move(result->out);
}

}  // namespace shootdown::audit
