// SPDX-License-Identifier: MIT
// Huge pages by the sizes that the kernel offers: allocated, demoted to the next smaller size where it can,
// mapped, freed.
#include <dirent.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "audit/guest/support.hpp"

namespace shootdown::guest {
namespace {

constexpr int map_huge_shift = 26;

struct Size {
  std::size_t bytes;
  std::string dir;
};

/// Largest first, those that fit `limit` only.
std::vector<Size> huge_page_sizes(std::size_t limit) {
  const std::string root = "/sys/kernel/mm/hugepages/";
  std::vector<Size> sizes;
  DIR* dir = opendir(root.c_str());
  if (dir == nullptr) die("the kernel has no huge pages, which the workload hugetlb needs");
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name.rfind("hugepages-", 0) != 0) continue;
    const std::size_t bytes = std::strtoull(name.c_str() + 10, nullptr, 10) * 1024;
    if (bytes <= limit) sizes.push_back({bytes, root + name + "/"});
  }
  closedir(dir);
  std::sort(sizes.begin(), sizes.end(), [](const Size& a, const Size& b) { return a.bytes > b.bytes; });
  return sizes;
}

std::size_t pool(const Size& size) {
  return std::strtoull(read_file((size.dir + "nr_hugepages").c_str()).c_str(), nullptr, 10);
}

void map_and_touch(const Size& size, std::size_t count) {
  const int shift = __builtin_ctzll(size.bytes);
  void* memory = mmap(nullptr, count * size.bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | shift << map_huge_shift, -1, 0);
  if (memory == MAP_FAILED) return;
  touch(static_cast<char*>(memory), count * size.bytes, page_size() * 16);
  if (mprotect(memory, count * size.bytes, PROT_READ) != 0) die("mprotect");
  munmap(memory, count * size.bytes);
}

}  // namespace

void hugetlb(std::size_t bytes) {
  const std::vector<Size> sizes = huge_page_sizes(bytes / 2);
  if (sizes.empty()) die("no huge page size fits into %zu bytes", bytes);
  const Company company;
  window_begin();
  for (const Size& size : sizes) {
    phase<0>();
    write_file((size.dir + "nr_hugepages").c_str(), std::to_string(bytes / size.bytes));
    phase<2>();
    map_and_touch(size, pool(size) / 2);
    phase<1>();
    // Kernels from 5.16; the smallest size has no such file.
    write_file((size.dir + "demote").c_str(), std::to_string(pool(size) / 2));
    phase<3>();
    for (const Size& any : sizes) write_file((any.dir + "nr_hugepages").c_str(), "0");
  }
  window_end();
}

}  // namespace shootdown::guest
