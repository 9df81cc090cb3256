// SPDX-License-Identifier: MIT
// The memory of the model: words as every other CPU and every walker sees them, zeros left out.
#pragma once

#include <span>
#include <vector>

#include "machine/model/operation.hpp"
#include "shadow/memory.hpp"

namespace shootdown::model {

class Memory final : public shadow::TableMemory {
 public:
  struct Word {
    std::uint64_t address;
    std::uint64_t value;
    friend auto operator<=>(const Word&, const Word&) = default;
  };

  explicit Memory(unsigned page_shift = 12) : page_shift_(page_shift) {}

  Descriptor read(PhysAddr slot) const override;
  void write(PhysAddr slot, Descriptor d);
  void for_each_valid(PhysAddr page, unsigned count,
                      shadow::FunctionRef<void(unsigned, Descriptor)> fn) const override;
  /// Are so many bytes at two places equal?
  bool same(PhysAddr a, PhysAddr b, std::uint64_t bytes) const;
  /// Non-zero words of one page.
  std::vector<PhysAddr> words_in(PhysAddr page) const;

  const std::vector<Word>& words() const { return words_; }
  /// Replaces everything; sorted by address.
  void assign(std::span<const Word> words) {
    words_.assign(words.begin(), words.end());
    changed_ = true;
  }

  /// Has anything been written since `mark_unchanged`?
  bool changed() const { return changed_; }
  void mark_unchanged() { changed_ = false; }
  friend bool operator==(const Memory& a, const Memory& b) { return a.words_ == b.words_; }

 private:
  std::vector<Word> words_;  ///< sorted by address
  unsigned page_shift_;
  bool changed_ = false;
};

}  // namespace shootdown::model
