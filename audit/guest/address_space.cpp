// SPDX-License-Identifier: MIT
// The workloads of one process's address space: fork and write faults, munmap, mprotect, huge pages.
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "audit/guest/support.hpp"

namespace shootdown::guest {
namespace {

constexpr int rounds = 4;
constexpr int madv_collapse = 25;

void restrict_to_small_pages(char* memory, std::size_t bytes) { madvise(memory, bytes, MADV_NOHUGEPAGE); }

}  // namespace

// The child's writes copy pages (the parent still has them); after its exit the parent's writes find each page
// its own again and only lift the write protection.
void fork_write_fault(std::size_t bytes) {
  char* memory = map_memory(bytes, page_size());
  restrict_to_small_pages(memory, bytes);
  touch(memory, bytes, page_size());
  window_begin();
  for (int i = 0; i < rounds; ++i) {
    phase<0>();
    const pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
      touch(memory, bytes, page_size());
      _exit(0);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) die("the child failed with status %d", status);
    phase<1>();
    touch(memory, bytes, page_size());
  }
  window_end();
}

// One page in each leaf table, so that every munmap frees tables; then all pages of a smaller range.
void munmap_tables(std::size_t bytes) {
  const Company company;
  const std::size_t table_span = page_size() * page_size() / 8;
  window_begin();
  for (int i = 0; i < rounds; ++i) {
    phase<0>();
    const std::size_t sparse = 32 * table_span;
    char* memory = map_memory(sparse, table_span);
    restrict_to_small_pages(memory, sparse);
    touch(memory, sparse, table_span);
    if (munmap(memory, sparse) != 0) die("munmap");
    phase<1>();
    memory = map_memory(bytes, table_span);
    restrict_to_small_pages(memory, bytes);
    touch(memory, bytes, page_size());
    if (munmap(memory, bytes) != 0) die("munmap");
  }
  window_end();
}

void mprotect_range(std::size_t bytes) {
  const Company company;
  char* memory = map_memory(bytes, page_size());
  restrict_to_small_pages(memory, bytes);
  touch(memory, bytes, page_size());
  window_begin();
  for (int i = 0; i < rounds; ++i) {
    phase<0>();
    if (mprotect(memory, bytes, PROT_READ) != 0) die("mprotect");
    phase<1>();
    if (mprotect(memory, bytes, PROT_READ | PROT_WRITE) != 0) die("mprotect");
    touch(memory, bytes, page_size());
  }
  window_end();
}

void transparent_huge_pages(std::size_t bytes) {
  const std::string size = read_file("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
  const std::size_t huge = std::strtoull(size.c_str(), nullptr, 10);
  if (huge == 0) die("the kernel has no transparent huge pages, which the workload thp needs");
  bytes = std::max(bytes / huge * huge, 2 * huge);
  const Company company;
  window_begin();
  for (int i = 0; i < rounds; ++i) {
    phase<0>();
    char* memory = map_memory(bytes, huge);
    madvise(memory, bytes, MADV_HUGEPAGE);
    touch(memory, bytes, page_size());
    phase<1>();
    for (std::size_t at = 0; at < bytes; at += huge) {
      if (mprotect(memory + at, page_size(), PROT_READ) != 0) die("mprotect");
      if (madvise(memory + at + huge / 2, page_size(), MADV_DONTNEED) != 0) die("madvise");
      if (mprotect(memory + at, page_size(), PROT_READ | PROT_WRITE) != 0) die("mprotect");
    }
    phase<2>();
    // Kernels before 6.1 have no such request; khugepaged would come too late to be seen.
    madvise(memory, bytes, madv_collapse);
    touch(memory, bytes, page_size());
    if (munmap(memory, bytes) != 0) die("munmap");
  }
  window_end();
}

}  // namespace shootdown::guest
