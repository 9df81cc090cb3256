// SPDX-License-Identifier: MIT
// A long-lived child in a process group of its own, killed with its group when the object goes, and by the
// kernel when this process dies. Short helpers: command.hpp.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "audit/error.hpp"

namespace shootdown::audit {

/// Closes itself.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() { close(); }
  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  void close();

 private:
  int fd_ = -1;
};

/// A child's standard output and error together are `console`; `inherited` descriptors keep their numbers.
class Process {
 public:
  static Expected<Process> start(const std::vector<std::string>& words, const std::vector<int>& inherited);
  Process(Process&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), console_(std::move(other.console_)) {}
  Process& operator=(Process&&) = delete;
  ~Process() { kill(); }

  int console() const { return console_.get(); }
  /// The exit status (128 + signal) once it has ended, -1 before.
  int poll_status();
  int wait_status();
  void kill();

 private:
  Process(pid_t pid, FileDescriptor console) : pid_(pid), console_(std::move(console)) {}
  int collect(int options);

  pid_t pid_ = -1;
  int status_ = -1;
  FileDescriptor console_;
};

/// Two connected stream sockets.
Expected<std::array<FileDescriptor, 2>> socket_pair();

}  // namespace shootdown::audit
