// SPDX-License-Identifier: MIT
#include "machine/model/codec.hpp"

#include <type_traits>

#include <boost/pfr.hpp>

namespace shootdown::model {
namespace {

static_assert(sizeof(Memory::Word) == 2 * sizeof(std::uint64_t));  // encoded and decoded by copying

/// Small fields share a word: bits from below, none split between two words.
class Writer {
 public:
  explicit Writer(Words& out) : out_(out) {}
  void put(std::uint64_t value, unsigned bits) {
    if (bits < 64) value &= (std::uint64_t{1} << bits) - 1;
    if (used_ + bits > 64) {
      out_.push_back(0);
      used_ = 0;
    }
    out_.back() |= value << used_;
    used_ += bits;
  }
  void append(std::span<const std::uint64_t> words) {
    out_.insert(out_.end(), words.begin(), words.end());
    used_ = 64;
  }

 private:
  Words& out_;
  unsigned used_ = 64;
};

class Reader {
 public:
  explicit Reader(std::span<const std::uint64_t> words) : words_(words) {}
  std::uint64_t take(unsigned bits) {
    if (used_ + bits > 64) {
      ++position_;
      used_ = 0;
    }
    const std::uint64_t value = words_[position_ - 1] >> used_;
    used_ += bits;
    return bits == 64 ? value : value & ((std::uint64_t{1} << bits) - 1);
  }
  std::span<const std::uint64_t> rest() {
    const auto all = words_.subspan(position_);
    position_ = words_.size();
    used_ = 64;
    return all;
  }

 private:
  std::span<const std::uint64_t> words_;
  std::size_t position_ = 0;
  unsigned used_ = 64;
};

static_assert(max_cpus <= 8);  // a set of CPUs is a byte

template <typename T>
concept Scalar = std::is_integral_v<T> || std::is_enum_v<T>;

/// Goes through fields one after the other, to words or from words: one function for both directions, so that they
/// cannot differ.
template <bool reading>
class Pass {
 public:
  template <typename Source>
  explicit Pass(Source&& source) : words_(source) {}

  template <Scalar T>
  void operator()(T& v) {
    bits(v, sizeof(T) * 8);
  }
  template <typename Space>
  void operator()(vmsa::Address<Space>& a) {
    bits(a.value, 64);
  }
  void operator()(shadow::CpuSet& cpus) { bits(cpus.bits, 8); }
  void operator()(Memory& memory) {
    if constexpr (reading) {
      const auto words = words_.rest();
      memory.assign({reinterpret_cast<const Memory::Word*>(words.data()), words.size() / 2});
    } else {
      const auto* first = reinterpret_cast<const std::uint64_t*>(memory.words().data());
      words_.append({first, memory.words().size() * 2});
    }
  }
  void operator()(shadow::Entry& e) {
    (*this)(static_cast<shadow::Held&>(e));
    (*this)(e.holders);
    (*this)(e.unsynchronised);
    (*this)(e.ordered);
    (*this)(e.ordered_here);
    (*this)(e.dooms);
    (*this)(e.flights);
  }
  template <typename T>
  void operator()(std::vector<T>& all) {
    auto size = static_cast<std::uint16_t>(all.size());
    (*this)(size);
    if constexpr (reading) all.resize(size);
    for (T& x : all) (*this)(x);
  }
  template <typename T, std::size_t n>
  void operator()(std::array<T, n>& all) {
    for (T& x : all) (*this)(x);
  }
  /// Any other struct: its fields in order.
  template <typename T>
  requires std::is_aggregate_v<T>
  void operator()(T& object) {
    boost::pfr::for_each_field(object, [&](auto& field) { (*this)(field); });
  }

 private:
  template <typename T>
  void bits(T& v, unsigned count) {
    if constexpr (reading)
      v = static_cast<T>(words_.take(count));
    else
      words_.put(static_cast<std::uint64_t>(v), count);
  }

  std::conditional_t<reading, Reader, Writer> words_;
};

}  // namespace

void encode(Part part, const World& w, Words& out) {
  out.clear();
  fields(part, const_cast<World&>(w), Pass<false>(out));  // writes words only
}

void decode(Part part, std::span<const std::uint64_t> words, World& w) {
  fields(part, w, Pass<true>(words));
  if (part == Part::shadow) w.shadow.restored();
}

}  // namespace shootdown::model
