// SPDX-License-Identifier: MIT
#include "audit/qemu/qmp.hpp"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>

namespace shootdown::audit {
namespace {
constexpr int answer_timeout_ms = 30'000;
}

Expected<std::string> Qmp::read_line() {
  for (;;) {
    if (const std::size_t end = buffer_.find('\n'); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    pollfd fd{socket_.get(), POLLIN, 0};
    const int ready = poll(&fd, 1, answer_timeout_ms);
    if (ready < 0 && errno == EINTR) continue;
    std::array<char, 4096> bytes;
    const ssize_t n = ready > 0 ? read(socket_.get(), bytes.data(), bytes.size()) : 0;
    if (n <= 0) return fail(ExitCode::unavailable, "QEMU does not answer on its control socket");
    buffer_.append(bytes.data(), static_cast<std::size_t>(n));
  }
}

Expected<void> Qmp::command(const std::string& line) {
  const std::string text = line + "\n";
  if (write(socket_.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return fail(ExitCode::unavailable, "QEMU has closed its control socket");
  for (;;) {
    auto answer = read_line();
    if (!answer) return tl::unexpected(answer.error());
    const auto json = nlohmann::json::parse(*answer, nullptr, false);
    if (json.is_discarded() || json.contains("event")) continue;
    if (json.contains("error"))
      return fail(ExitCode::unavailable, "QEMU refuses {}: {}", line,
                  json["error"].value("desc", "no reason given"));
    if (json.contains("return")) return {};
  }
}

Expected<void> Qmp::handshake() {
  if (auto greeting = read_line(); !greeting) return tl::unexpected(greeting.error());
  return command(R"({"execute":"qmp_capabilities"})");
}

Expected<void> Qmp::set_property(std::string_view path, std::string_view property, std::uint64_t value) {
  const nlohmann::json json = {{"execute", "qom-set"},
                               {"arguments", {{"path", path}, {"property", property}, {"value", value}}}};
  return command(json.dump());
}

void Qmp::quit() { (void)command(R"({"execute":"quit"})"); }

}  // namespace shootdown::audit
