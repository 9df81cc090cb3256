// SPDX-License-Identifier: MIT
// Writing counts.
#include "report/counts_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace shootdown::report {

std::string grouped(std::uint64_t n) {
  std::string digits = std::to_string(n);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, 1, ' ');
  return digits;
}

std::uint64_t tlbi_total(const Counts& counts) {
  return std::accumulate(counts.tlbi.begin(), counts.tlbi.end(), std::uint64_t{0});
}

std::string tlbi_by_operation(const Counts& counts) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < counts.tlbi.size(); ++i)
    if (counts.tlbi[i] != 0) order.push_back(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return counts.tlbi[a] > counts.tlbi[b]; });
  std::string text;
  for (std::size_t i : order)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", grouped(counts.tlbi[i]),
                        vmsa::tlbi_name(vmsa::tlbi_ops[i]).c_str());
  return text.empty() ? "none" : text;
}

}  // namespace shootdown::report
