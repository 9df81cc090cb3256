// SPDX-License-Identifier: MIT
#include "audit/plugin/event_pipe.hpp"

#include <time.h>
#include <unistd.h>

#include <cerrno>

namespace shootdown::audit::plugin {
namespace {

constexpr std::size_t chunk_bytes = 192 << 10;
constexpr unsigned events_per_clock = 16;
constexpr std::uint64_t clock_step_us = 20;

std::uint64_t now_us() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(t.tv_nsec) / 1000;
}

void write_all(int fd, const void* data, std::size_t bytes) {
  const auto* p = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = write(fd, p, bytes);
    if (n < 0 && errno == EINTR) continue;
    // Nobody listens any more: there is nothing to run this guest for.
    if (n <= 0) _exit(1);
    p += n;
    bytes -= static_cast<std::size_t>(n);
  }
}

}  // namespace

void EventPipe::open(int fd) {
  fd_ = fd;
  started_us_ = now_us();
}

void EventPipe::put_clock() {
  until_clock_ = events_per_clock;
  const std::uint64_t us = now_us() - started_us_;
  if (us - last_us_ < clock_step_us) return;
  last_us_ = us;
  encoder_.put({.kind = EventKind::clock, .a = us});
}

void EventPipe::put(const Event& e) {
  if (until_clock_-- == 0) put_clock();
  encoder_.put(e);
  if (encoder_.byte_count() >= chunk_bytes) flush();
}

void EventPipe::flush() {
  if (encoder_.event_count() == 0) return;
  const std::uint32_t sizes[2]{static_cast<std::uint32_t>(encoder_.byte_count()), encoder_.event_count()};
  write_all(fd_, sizes, sizeof sizes);
  write_all(fd_, encoder_.bytes().data(), encoder_.byte_count());
  encoder_.clear();
}

}  // namespace shootdown::audit::plugin
