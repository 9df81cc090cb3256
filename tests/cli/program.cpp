// SPDX-License-Identifier: MIT
#include "tests/cli/program.hpp"

#include <array>
#include <csignal>
#include <sstream>
#include <stdexcept>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace shootdown::tests {
namespace {

struct Pipe {
  int read = -1;
  int write = -1;
  Pipe() {
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) throw std::runtime_error("no pipe");
    read = ends[0];
    write = ends[1];
  }
};

[[noreturn]] void become(const std::vector<std::string>& arguments, const Pipe& out, const Pipe& err) {
  dup2(out.write, STDOUT_FILENO);
  dup2(err.write, STDERR_FILENO);
  for (int fd : {out.read, out.write, err.read, err.write}) close(fd);
  std::vector<char*> argv;
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

}  // namespace

std::vector<std::string> Finished::lines() const {
  std::vector<std::string> all;
  std::stringstream text(out);
  for (std::string line; std::getline(text, line);) all.push_back(line);
  return all;
}

Finished run(const Start& start) {
  std::vector<std::string> arguments{SHOOTDOWN_BINARY_DIR "/shootdown"};
  arguments.insert(arguments.end(), start.arguments.begin(), start.arguments.end());
  const Pipe out, err;
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("no process");
  if (child == 0) become(arguments, out, err);
  close(out.write);
  close(err.write);
  Finished finished;
  bool signalled = start.signal_after_first_line == 0;
  std::array<pollfd, 2> streams{{{out.read, POLLIN, 0}, {err.read, POLLIN, 0}}};
  for (int open = 2; open > 0;) {
    poll(streams.data(), streams.size(), -1);
    for (std::size_t i = 0; i < 2; ++i) {
      if (streams[i].fd < 0 || streams[i].revents == 0) continue;
      std::array<char, 4096> buffer;
      const ssize_t n = read(streams[i].fd, buffer.data(), buffer.size());
      if (n > 0) {
        (i == 0 ? finished.out : finished.err).append(buffer.data(), static_cast<std::size_t>(n));
      } else {
        close(streams[i].fd);
        streams[i].fd = -1;
        --open;
      }
    }
    if (!signalled && finished.out.find('\n') != std::string::npos) {
      kill(child, start.signal_after_first_line);
      signalled = true;
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  finished.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return finished;
}

}  // namespace shootdown::tests
