// SPDX-License-Identifier: MIT
// Interning of word sequences: equal sequences get equal 32-bit identifiers, exactly (no hash is trusted).
// This is what keeps a state of the model at a few bytes.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "machine/model/hash.hpp"

namespace shootdown::model {

class Interner {
 public:
  using Word = std::uint64_t;

  static constexpr std::uint32_t unknown = 0xffffffff;

  /// The identifier of a sequence, new or known. Identifiers count from 0.
  std::uint32_t intern(std::span<const Word> words) {
    if (ids_.size() * 2 > slots_.size()) grow();
    const std::uint64_t hash = hash_words(words);
    const std::size_t slot = slot_of(words, hash);
    if (slots_[slot] != 0) return slots_[slot] - 1;
    if (ids_.size() >= unknown - 1) throw std::length_error("interner: more than 2^32 values");
    const auto id = static_cast<std::uint32_t>(ids_.size());
    ids_.push_back(
        {arena_.size(), static_cast<std::uint32_t>(words.size()), static_cast<std::uint32_t>(hash >> 32)});
    arena_.insert(arena_.end(), words.begin(), words.end());
    slots_[slot] = id + 1;
    return id;
  }
  /// The identifier of a known sequence, or `unknown`.
  std::uint32_t find(std::span<const Word> words) const {
    return slots_[slot_of(words, hash_words(words))] - 1;
  }

  std::span<const Word> operator[](std::uint32_t id) const {
    return {arena_.data() + ids_[id].offset, ids_[id].length};
  }
  std::size_t size() const { return ids_.size(); }
  std::size_t bytes() const {
    return arena_.capacity() * sizeof(Word) + ids_.capacity() * sizeof(Record) +
           slots_.capacity() * sizeof(slots_[0]);
  }

 private:
  struct Record {
    std::uint64_t offset;
    std::uint32_t length;
    std::uint32_t hash;
  };

  /// Where a sequence is, or where it would go.
  std::size_t slot_of(std::span<const Word> words, std::uint64_t hash) const {
    std::size_t i = hash & (slots_.size() - 1);
    for (; slots_[i] != 0; i = (i + 1) & (slots_.size() - 1)) {
      const std::uint32_t id = slots_[i] - 1;
      if (ids_[id].hash == static_cast<std::uint32_t>(hash >> 32) && equal((*this)[id], words)) break;
    }
    return i;
  }
  static bool equal(std::span<const Word> a, std::span<const Word> b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
  }
  void grow() {
    slots_.assign(slots_.size() * 2, 0);
    for (std::uint32_t id = 0; id < ids_.size(); ++id) {
      std::size_t i = hash_words((*this)[id]) & (slots_.size() - 1);
      while (slots_[i] != 0) i = (i + 1) & (slots_.size() - 1);
      slots_[i] = id + 1;
    }
  }

  std::vector<Word> arena_;
  std::vector<Record> ids_;
  std::vector<std::uint32_t> slots_ = std::vector<std::uint32_t>(64, 0);  ///< id + 1, 0 when free
};

}  // namespace shootdown::model
