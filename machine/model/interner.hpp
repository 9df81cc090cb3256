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
    if (slots_[slot] != 0) return (slots_[slot] & mask()) - 1;
    if (ids_.size() >= unknown - 1) throw std::length_error("interner: more than 2^32 values");
    const auto id = static_cast<std::uint32_t>(ids_.size());
    ids_.push_back({arena_.size(), static_cast<std::uint32_t>(words.size())});
    arena_.insert(arena_.end(), words.begin(), words.end());
    slots_[slot] = tag(hash) | (id + 1);
    return id;
  }
  /// The identifier of a known sequence, or `unknown`.
  std::uint32_t find(std::span<const Word> words) const {
    return (slots_[slot_of(words, hash_words(words))] & mask()) - 1;
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
    std::uint64_t offset : 40;
    std::uint64_t length : 24;
  };

  /// Where a sequence is, or where it would go.
  std::size_t slot_of(std::span<const Word> words, std::uint64_t hash) const {
    std::size_t i = hash & mask();
    for (; slots_[i] != 0; i = (i + 1) & mask())
      if ((slots_[i] & ~mask()) == tag(hash) && equal((*this)[(slots_[i] & mask()) - 1], words)) break;
    return i;
  }
  static bool equal(std::span<const Word> a, std::span<const Word> b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
  }
  void grow() {
    slots_.assign(slots_.size() * 2, 0);
    for (std::uint32_t id = 0; id < ids_.size(); ++id) {
      const std::uint64_t hash = hash_words((*this)[id]);
      std::size_t i = hash & mask();
      while (slots_[i] != 0) i = (i + 1) & mask();
      slots_[i] = tag(hash) | (id + 1);
    }
  }
  /// A slot is an identifier + 1 in as many low bits as there are slots, and bits of the hash above.
  std::uint32_t mask() const { return static_cast<std::uint32_t>(slots_.size() - 1); }
  std::uint32_t tag(std::uint64_t hash) const { return static_cast<std::uint32_t>(hash >> 32) & ~mask(); }

  std::vector<Word> arena_;
  std::vector<Record> ids_;
  std::vector<std::uint32_t> slots_ = std::vector<std::uint32_t>(64, 0);  ///< 0 when free
};

}  // namespace shootdown::model
