// SPDX-License-Identifier: MIT
// What the guest's workloads share: talking to the host, marks, files, mappings, threads. Static AArch64 code
// over glibc; errors end the run with one line to the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "audit/guest/protocol.hpp"

namespace shootdown::guest {

using audit::protocol::Mark;

/// A line for the host. printf-like.
[[gnu::format(printf, 1, 2)]] void say(const char* format, ...);
/// Tells the host why this run is worth nothing, and powers the machine off.
[[noreturn, gnu::format(printf, 1, 2)]] void die(const char* format, ...);

/// The instruction that the plugin recognises. No side effect, nothing is clobbered but the order of memory
/// accesses around it, which the compiler must keep.
template <Mark mark, unsigned offset = 0>
inline void emit_mark() {
  asm volatile("movz xzr, #%0" ::"i"(static_cast<unsigned>(mark) + offset) : "memory");
}
inline void window_begin() { emit_mark<Mark::window_begin>(); }
inline void window_end() { emit_mark<Mark::window_end>(); }
template <unsigned i>
inline void phase() {
  emit_mark<Mark::phase_first, i>();
}

std::string read_file(const char* path);                     ///< empty when it cannot be read
bool write_file(const char* path, const std::string& text);  ///< false when the kernel refuses
unsigned cpu_count();
std::size_t page_size();

/// Private anonymous memory, its start aligned.
char* map_memory(std::size_t bytes, std::size_t alignment);
void touch(char* start, std::size_t bytes, std::size_t stride);

/// Threads that keep every CPU in this process's address space for as long as the object lives: they write
/// to `bytes` of their own and to nothing else.
class Company {
 public:
  explicit Company(std::size_t bytes = 1 << 16);
  ~Company();
  Company(const Company&) = delete;
  Company& operator=(const Company&) = delete;

 private:
  struct Threads;
  Threads* threads_;
};

// The workloads; `bytes` is how much memory they are about.
void hot_unplug(std::size_t bytes);
void fork_write_fault(std::size_t bytes);
void munmap_tables(std::size_t bytes);
void hugetlb(std::size_t bytes);
void mprotect_range(std::size_t bytes);
void transparent_huge_pages(std::size_t bytes);
void user_program();

}  // namespace shootdown::guest
