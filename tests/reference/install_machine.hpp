// SPDX-License-Identifier: MIT
// CPUs that install page tables side by side, written out by hand: each looks without the lock, takes it, looks
// again, allocates, zeroes and links; then maps a page of its own, loads from it, unmaps and flushes it.
// The same for the model is install_case.hpp; neither knows the other.
#pragma once

#include "tests/reference/held.hpp"

namespace shootdown::reference {

struct Install {
  unsigned cpus = 2;
  bool shared_first = true;  ///< all CPUs first install the tables of one address that nobody maps
};

/// Slots of the shared middle table: one for each CPU, then the one that all of them want.
struct InstallState {
  static constexpr unsigned slot_count = max_cpus + 1;
  static constexpr unsigned page_count = slot_count;

  /// In order, for the shared address and then again for the CPU's own.
  enum class Step : std::uint8_t {
    read_root,
    look,
    lock,
    look_again,
    allocate,
    zero,
    dsb_zeroes,
    link,
    unlock,
    // Once the CPU's own table is there:
    map,
    dsb_map,
    isb_map,
    load,
    read_root_again,
    read_table,
    unmap,
    dsb_unmap,
    tlbi,
    dsb_tlbi,
    isb,
    done,
  };
  enum class Word : std::uint8_t { left_behind, zero, leaf };
  /// What stands in a CPU's write buffer; it never holds two stores.
  enum class Pending : std::uint8_t { none, zero, link, leaf, clear };

  struct Cpu {
    bool own = false;  ///< the second round, for its own address
    Step step = Step::read_root;
    std::uint8_t table = 0;  ///< page + 1, from its allocation to its link
    Pending pending = Pending::none;
    std::uint8_t pending_page = 0;  ///< page + 1 that the store is to, or that it links
    bool pending_own = false;       ///< which slot a link is for

    auto operator<=>(const Cpu&) const = default;
  };
  std::array<Cpu, max_cpus> cpus{};
  std::uint8_t lock_holder = 0;                   ///< CPU + 1
  std::array<std::uint8_t, slot_count> slots{};   ///< page + 1
  std::array<std::uint8_t, page_count> owners{};  ///< CPU + 1
  std::array<Word, page_count> words{};           ///< the first of each page
  std::array<Held, max_cpus> held{};              ///< the leaf of each CPU's address

  auto operator<=>(const InstallState&) const = default;
};

class InstallMachine {
 public:
  using State = InstallState;
  using Step = State::Step;
  using Pending = State::Pending;

  explicit InstallMachine(Install i) : i_(i) {}

  State start() const {
    State s;
    for (unsigned c = 0; c < i_.cpus; ++c) s.cpus[c].own = !i_.shared_first;
    return s;
  }

  template <typename Sink>
  void next(const State& s, Sink&& sink) const {
    for (unsigned c = 0; c < i_.cpus; ++c) {
      step(s, c, sink);
      if (s.cpus[c].pending != Pending::none) {
        State n = s;
        drain(n, c);
        sink(n);
      }
    }
  }

 private:
  static unsigned slot_of(unsigned cpu, bool own) { return own ? cpu : max_cpus; }

  void drain(State& s, unsigned c) const {
    auto& me = s.cpus[c];
    const unsigned page = me.pending_page - 1u;
    switch (me.pending) {
      case Pending::none: return;
      case Pending::zero: s.words[page] = State::Word::zero; break;
      case Pending::link: s.slots[slot_of(c, me.pending_own)] = me.pending_page; break;
      case Pending::leaf: s.words[page] = State::Word::leaf; break;
      case Pending::clear:
        s.words[page] = State::Word::zero;
        s.held[c].make_stale(static_cast<std::uint8_t>((1u << i_.cpus) - 1));
        break;
    }
    me.pending = Pending::none;
    me.pending_page = 0;
    me.pending_own = false;
  }

  void buffer(State& s, unsigned c, Pending what, unsigned page_plus_1) const {
    auto& me = s.cpus[c];
    me.pending = what;
    me.pending_page = static_cast<std::uint8_t>(page_plus_1);
    me.pending_own = what == Pending::link && me.own;
  }

  /// The slot as this CPU reads it: its own buffered link counts.
  std::uint8_t table_at(const State& s, unsigned c, bool own) const {
    const auto& me = s.cpus[c];
    if (me.pending == Pending::link && me.pending_own == own) return me.pending_page;
    return s.slots[slot_of(c, own)];
  }

  template <typename Sink>
  void step(State s, unsigned c, Sink&& sink) const {
    auto& me = s.cpus[c];
    auto go = [&](Step to) { me.step = to; };
    auto table_is_there = [&] {
      go(me.own ? Step::map : Step::read_root);
      me.own = true;
    };
    const std::uint8_t own_table = table_at(s, c, true);
    switch (me.step) {
      case Step::read_root: go(Step::look); break;
      case Step::look:
        if (table_at(s, c, me.own) != 0)
          table_is_there();
        else
          go(Step::lock);
        break;
      case Step::lock:
        if (s.lock_holder != 0) return;
        s.lock_holder = static_cast<std::uint8_t>(c + 1);
        go(Step::look_again);
        break;
      case Step::look_again: go(table_at(s, c, me.own) != 0 ? Step::unlock : Step::allocate); break;
      case Step::allocate: {
        unsigned page = 0;
        while (s.owners[page] != 0) ++page;
        s.owners[page] = static_cast<std::uint8_t>(c + 1);
        me.table = static_cast<std::uint8_t>(page + 1);
        go(Step::zero);
        break;
      }
      case Step::zero:
        buffer(s, c, Pending::zero, me.table);
        go(Step::dsb_zeroes);
        break;
      case Step::dsb_zeroes:
        drain(s, c);
        go(Step::link);
        break;
      case Step::link:
        buffer(s, c, Pending::link, me.table);
        me.table = 0;
        go(Step::unlock);
        break;
      case Step::unlock:
        drain(s, c);
        s.lock_holder = 0;
        table_is_there();
        break;
      case Step::map:
        buffer(s, c, Pending::leaf, own_table);
        go(Step::dsb_map);
        break;
      case Step::unmap:
        buffer(s, c, Pending::clear, own_table);
        go(Step::dsb_unmap);
        break;
      case Step::dsb_map:
      case Step::dsb_unmap:
        drain(s, c);
        go(me.step == Step::dsb_map ? Step::isb_map : Step::tlbi);
        break;
      case Step::tlbi:
        s.held[c].tlbi(c);
        go(Step::dsb_tlbi);
        break;
      case Step::dsb_tlbi:
        for (Held& h : s.held) h.dsb(c);
        go(Step::isb);
        break;
      case Step::isb_map:
      case Step::isb:
        for (Held& h : s.held) h.isb(c);
        go(me.step == Step::isb ? Step::done : Step::load);
        break;
      case Step::load: go(Step::read_root_again); break;  // mapped and published: it cannot fault
      case Step::read_root_again: go(Step::read_table); break;
      case Step::read_table: go(Step::unmap); break;
      case Step::done: return;
    }
    sink(s);
  }

  Install i_;
};

inline Counts count(const InstallMachine& machine) {
  return count(machine.start(), [&](const InstallState& s, auto&& sink) { machine.next(s, sink); });
}

}  // namespace shootdown::reference
