// SPDX-License-Identifier: MIT
#include "audit/guest/support.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace shootdown::guest {
namespace {

void send(const char* format, std::va_list args) {
  char line[512];
  const std::size_t prefix = audit::protocol::prefix.size();
  // The kernel may have left its own line unfinished.
  line[0] = '\n';
  std::memcpy(line + 1, audit::protocol::prefix.data(), prefix);
  std::vsnprintf(line + 1 + prefix, sizeof line - prefix - 3, format, args);
  std::strcat(line, "\n");
  if (write(STDOUT_FILENO, line, std::strlen(line)) < 0) _exit(1);
}

}  // namespace

void say(const char* format, ...) {
  std::va_list args;
  va_start(args, format);
  send(format, args);
  va_end(args);
}

void die(const char* format, ...) {
  char what[256];
  std::va_list args;
  va_start(args, format);
  std::vsnprintf(what, sizeof what, format, args);
  va_end(args);
  say("fail %s", what);
  tcdrain(STDOUT_FILENO);
  reboot(RB_POWER_OFF);
  _exit(1);
}

std::string read_file(const char* path) {
  std::string text;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(n));
  close(fd);
  return text;
}

bool write_file(const char* path, const std::string& text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool done = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  return close(fd) == 0 && done;
}

unsigned cpu_count() { return static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN)); }
std::size_t page_size() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

char* map_memory(std::size_t bytes, std::size_t alignment) {
  void* raw = mmap(nullptr, bytes + alignment, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) die("mmap of %zu bytes", bytes);
  const auto start = (reinterpret_cast<std::uintptr_t>(raw) + alignment - 1) & ~(alignment - 1);
  return reinterpret_cast<char*>(start);
}

void touch(char* start, std::size_t bytes, std::size_t stride) {
  for (std::size_t i = 0; i < bytes; i += stride) static_cast<volatile char*>(start)[i] = 1;
}

struct Company::Threads {
  std::atomic<bool> stop{false};
  std::atomic<unsigned> running{0};
  std::size_t bytes = 0;
  unsigned count = 0;
  pthread_t ids[64];

  static void* run(void* self) {
    auto& t = *static_cast<Threads*>(self);
    char* memory = map_memory(t.bytes, page_size());
    ++t.running;
    while (!t.stop) {
      touch(memory, t.bytes, page_size());
      usleep(2000);
    }
    return nullptr;
  }
};

Company::Company(std::size_t bytes) : threads_(new Threads) {
  threads_->bytes = bytes;
  threads_->count = cpu_count() - 1 < 64 ? cpu_count() - 1 : 64;
  for (unsigned i = 0; i < threads_->count; ++i) {
    if (pthread_create(&threads_->ids[i], nullptr, Threads::run, threads_) != 0) die("cannot start threads");
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(i + 1, &cpus);
    pthread_setaffinity_np(threads_->ids[i], sizeof cpus, &cpus);
  }
  while (threads_->running < threads_->count) usleep(1000);
}

Company::~Company() {
  threads_->stop = true;
  for (unsigned i = 0; i < threads_->count; ++i) pthread_join(threads_->ids[i], nullptr);
  delete threads_;
}

}  // namespace shootdown::guest
