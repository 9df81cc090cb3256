// SPDX-License-Identifier: MIT
// A sequence that only grows, in chunks: nothing is copied when it does, and no memory waits for twice its size.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace shootdown::explore {

template <typename T>
class Chunks {
 public:
  void push_back(const T& value) {
    if (size_ % chunk == 0) chunks_.push_back(std::make_unique_for_overwrite<T[]>(chunk));
    chunks_[size_ / chunk][size_ % chunk] = value;
    ++size_;
  }
  const T& operator[](std::size_t i) const { return chunks_[i / chunk][i % chunk]; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return chunks_.size() * chunk * sizeof(T); }

 private:
  static constexpr std::size_t chunk = std::size_t{1} << 14;
  std::vector<std::unique_ptr<T[]>> chunks_;
  std::size_t size_ = 0;
};

}  // namespace shootdown::explore
