// SPDX-License-Identifier: MIT
// The few words of QEMU's machine protocol that an audit speaks: JSON lines over a socket.
#pragma once

#include <string>
#include <string_view>

#include "audit/process/process.hpp"

namespace shootdown::audit {

class Qmp {
 public:
  explicit Qmp(FileDescriptor socket) : socket_(std::move(socket)) {}

  /// Reads the greeting and leaves negotiation mode.
  Expected<void> handshake();
  /// Sets an unsigned property of an object, such as a virtio-mem device's requested-size.
  Expected<void> set_property(std::string_view path, std::string_view property, std::uint64_t value);
  void quit();

 private:
  /// Sends a command and waits for its answer; events in between are passed over.
  Expected<void> command(const std::string& line);
  Expected<std::string> read_line();

  FileDescriptor socket_;
  std::string buffer_;
};

}  // namespace shootdown::audit
