// SPDX-License-Identifier: MIT
// A teardown written out by hand, one instruction after another, beside CPUs that load through the mapping and
// one that takes over what is released: explicit program counters and live values only.
// The same experiment for the model is teardown_case.hpp; neither knows the other.
#pragma once

#include <vector>

#include "tests/reference/held.hpp"

namespace shootdown::reference {

/// Two tables, four leaves. A descriptor has a number: leaves 0 to 3, then the root's entries for the tables.
inline constexpr unsigned leaf_count = 4;
inline constexpr unsigned descriptor_count = 6;

/// What the remover does, in order; `mask` is a set of descriptors, `page` what is released.
struct Instruction {
  enum class Kind : std::uint8_t { read, clear, dsb_ishst, tlbi, dsb_ish, isb, release };
  Kind kind;
  std::uint8_t mask = 0;
  std::uint8_t page = 0;
};
using Program = std::vector<Instruction>;

struct Teardown {
  Program program;
  unsigned leaves_per_table = 2;
  std::uint8_t mapped = 0x3f;         ///< descriptors valid at the start
  std::vector<unsigned> load_from{};  ///< leaf of each load of a loader, in order; `first_word` is special
  unsigned loaders = 0;
  unsigned reusers = 0;  ///< CPUs that take over one released page and write one of `words` into it
  unsigned words = 2;
  bool tables_are_pages = true;  ///< released page p is table p; otherwise it is what leaf p mapped

  /// A load from the address that the first word of table 0 translates. Nothing is mapped there.
  static constexpr unsigned first_word = 99;
};

/// What a new owner may have written. A walk that still reaches the page may set `leaf_old`'s access flag.
enum class Word : std::uint8_t { none, leaf_old, leaf, no_leaf };

struct TeardownState {
  std::uint8_t remover = 0;          ///< program counter
  std::uint8_t valid = 0;            ///< in memory
  std::uint8_t pending = 0;          ///< clears in the remover's write buffer
  std::uint8_t pending_release = 0;  ///< pages whose release is there, behind what is older
  std::array<Held, descriptor_count> held{};
  Held first_word{};  ///< a leaf that hardware may have made of a word in table 0

  struct Loader {
    std::uint8_t done = 0;  ///< loads
    std::uint8_t faults = 0;
    auto operator<=>(const Loader&) const = default;
  };
  std::array<Loader, 3> loaders{};

  enum class Step : std::uint8_t { take, choose, store, done };
  struct Reuser {
    Step step = Step::take;
    std::uint8_t page = 0;
    Word word = Word::none;  ///< chosen, about to be stored
    std::uint8_t buffered_for = 0;
    Word buffered = Word::none;
    auto operator<=>(const Reuser&) const = default;
  };
  std::array<Reuser, 2> reusers{};
  std::uint8_t released = 0;               ///< pages that anybody may take
  std::array<std::uint8_t, 4> taken_by{};  ///< reuser + 1
  std::array<Word, 4> words{};             ///< first word of each released page

  auto operator<=>(const TeardownState&) const = default;
};

class TeardownMachine {
 public:
  using State = TeardownState;
  explicit TeardownMachine(Teardown t) : t_(std::move(t)) {}

  State start() const {
    State s;
    s.valid = t_.mapped;
    return s;
  }

  template <typename Sink>
  void next(const State& s, Sink&& sink) const {
    remover(s, sink);
    for (unsigned i = 0; i < t_.loaders; ++i) loader(s, i, sink);
    for (unsigned i = 0; i < t_.reusers; ++i) reuser(s, i, sink);
    for (unsigned d = 0; d < descriptor_count; ++d)
      if (bit(s.pending, d)) sink(drained(s, d));
    release_drains(s, sink);
    for (unsigned i = 0; i < t_.reusers; ++i)
      if (s.reusers[i].buffered_for != 0) sink(word_drained(s, i));
    if (walked(s) && s.words[0] == Word::leaf_old) sink(first_word_is(s, Word::leaf));  // by hardware
  }

 private:
  static bool bit(std::uint8_t mask, unsigned i) { return (mask >> i & 1) != 0; }
  static std::uint8_t one(unsigned i) { return static_cast<std::uint8_t>(1u << i); }
  std::uint8_t cpus() const { return static_cast<std::uint8_t>((1u << (1 + t_.loaders + t_.reusers)) - 1); }
  /// Loaders are the CPUs after the remover.
  unsigned cpu_of_loader(unsigned i) const { return 1 + i; }
  unsigned table_of(unsigned leaf) const { return leaf / t_.leaves_per_table; }

  State drained(State s, unsigned d) const {
    s.pending &= static_cast<std::uint8_t>(~one(d));
    s.valid &= static_cast<std::uint8_t>(~one(d));
    s.held[d].make_stale(cpus());
    return s;
  }
  /// Barriers wait for it.
  static bool all_drained(const State& s) { return s.pending == 0 && s.pending_release == 0; }
  /// The oldest release is there once the clears before it are visible.
  template <typename Sink>
  void release_drains(State s, Sink&& sink) const {
    for (const Instruction& i : t_.program) {
      if (i.kind == Instruction::Kind::clear && (s.pending & i.mask) != 0) return;
      if (i.kind != Instruction::Kind::release || !bit(s.pending_release, i.page)) continue;
      s.pending_release &= static_cast<std::uint8_t>(~one(i.page));
      s.released |= one(i.page);
      return sink(s);
    }
  }

  /// No TLBI names the first word's address: what barriers would order for one is not kept.
  template <typename Fn>
  static void for_each_held(State& s, std::uint8_t mask, Fn&& fn) {
    for (unsigned d = 0; d < descriptor_count; ++d)
      if (bit(mask, d) && s.held[d].holders != 0) fn(s.held[d]);
  }

  template <typename Sink>
  void remover(State s, Sink&& sink) const {
    if (s.remover == t_.program.size()) return;
    const Instruction& i = t_.program[s.remover++];
    switch (i.kind) {
      case Instruction::Kind::read: break;
      case Instruction::Kind::clear: s.pending |= i.mask; break;
      case Instruction::Kind::dsb_ishst:
        if (!all_drained(s)) return;
        for_each_held(s, 0xff, [](Held& h) { h.dsb_ishst(0); });
        break;
      case Instruction::Kind::tlbi: for_each_held(s, i.mask, [](Held& h) { h.tlbi(0); }); break;
      case Instruction::Kind::dsb_ish:
        if (!all_drained(s)) return;
        for_each_held(s, 0xff, [](Held& h) { h.dsb(0); });
        break;
      case Instruction::Kind::isb: for_each_held(s, 0xff, [](Held& h) { h.isb(0); }); break;
      case Instruction::Kind::release:  // at once, when nothing is older
        if (all_drained(s))
          s.released |= one(i.page);
        else
          s.pending_release |= one(i.page);
        break;
    }
    sink(s);
  }

  /// Every outcome that memory and stale descriptors allow.
  template <typename Sink>
  void loader(const State& s, unsigned i, Sink&& sink) const {
    const auto& me = s.loaders[i];
    if (me.done == t_.load_from.size()) return;
    const unsigned cpu = cpu_of_loader(i);
    const unsigned leaf = t_.load_from[me.done];
    const bool special = leaf == Teardown::first_word;
    const unsigned table = leaf_count + (special ? 0 : table_of(leaf));
    const bool linked = bit(s.valid, table), table_held = s.held[table].held_by(cpu);
    const bool in_table =
        special ? s.words[0] == Word::leaf || s.words[0] == Word::leaf_old : bit(s.valid, leaf);
    const bool leaf_held = special ? s.first_word.held_by(cpu) : s.held[leaf].held_by(cpu);
    auto go_on = [&](bool fault) {
      State n = s;
      auto& l = n.loaders[i];
      ++l.done;
      l.faults = l.done == t_.load_from.size() ? 0 : static_cast<std::uint8_t>(l.faults + fault);
      sink(n);
    };
    if (leaf_held || ((linked || table_held) && in_table)) go_on(false);
    // A fault is one of the root's level or one of the table's.
    if (!linked) go_on(true);
    if ((linked || table_held) && !in_table) go_on(true);
  }

  template <typename Sink>
  void reuser(const State& s, unsigned i, Sink&& sink) const {
    State n = s;
    auto& me = n.reusers[i];
    switch (me.step) {
      case State::Step::take:
        for (std::uint8_t p = 0; p < 4; ++p) {
          if (!bit(s.released, p)) continue;
          n = s;
          n.released &= static_cast<std::uint8_t>(~one(p));
          n.taken_by[p] = static_cast<std::uint8_t>(i + 1);
          n.reusers[i].page = p;
          n.reusers[i].step = State::Step::choose;
          sink(n);
        }
        break;
      case State::Step::choose:
        me.step = State::Step::store;
        for (unsigned w = 0; w < t_.words; ++w) {
          me.word = static_cast<Word>(w + 1);
          sink(n);
        }
        break;
      case State::Step::store:
        me.buffered_for = static_cast<std::uint8_t>(me.page + 1);
        me.buffered = me.word;
        me.step = State::Step::done;
        me.page = 0;  // dead from here on
        me.word = Word::none;
        sink(n);
        break;
      case State::Step::done: break;
    }
  }

  State word_drained(State s, unsigned i) const {
    auto& me = s.reusers[i];
    const unsigned page = me.buffered_for - 1u;
    const Word w = me.buffered;
    me.buffered_for = 0;
    me.buffered = Word::none;
    if (t_.tables_are_pages && page == 0) return first_word_is(s, w);
    s.words[page] = w;
    return s;
  }
  /// Table 0 is no longer linked when its first word changes: only stale table entries lead to it.
  State first_word_is(State s, Word w) const {
    s.words[0] = w;
    const bool cacheable = w == Word::leaf || w == Word::leaf_old;  // hardware sets the flag of an old one
    if (cacheable && walked(s)) s.first_word.make_stale(s.held[leaf_count].holders);
    return s;
  }
  bool walked(const State& s) const { return t_.tables_are_pages && s.held[leaf_count].holders != 0; }

  Teardown t_;
};

inline Counts count(const TeardownMachine& machine) {
  return count(machine.start(), [&](const TeardownState& s, auto&& sink) { machine.next(s, sink); });
}

}  // namespace shootdown::reference
