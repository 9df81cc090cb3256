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
  /// What may stand in a CPU's write buffer: bits. Of each there is at most one.
  enum Pending : std::uint8_t { zero = 1, linked = 2, unlocked = 4, leaf = 8, clear = 16 };

  struct Cpu {
    bool own = false;  ///< the second round, for its own address
    Step step = Step::read_root;
    std::uint8_t table = 0;  ///< page + 1, from its allocation to its link
    std::uint8_t pending = 0;
    std::uint8_t pending_page = 0;  ///< page + 1 that a store of words is to
    std::uint8_t pending_link = 0;  ///< page + 1 that is linked
    bool pending_own = false;       ///< which slot the link is for

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
      for (unsigned what = State::zero; what <= State::clear; what *= 2) {
        State n = s;
        if (drain(n, c, what)) sink(n);
      }
    }
  }

 private:
  static unsigned slot_of(unsigned cpu, bool own) { return own ? cpu : max_cpus; }

  /// False when it is not there, or must wait: an unlock for the link before it.
  bool drain(State& s, unsigned c, unsigned what) const {
    auto& me = s.cpus[c];
    if ((me.pending & what) == 0) return false;
    const unsigned page = me.pending_page - 1u;
    switch (what) {
      case State::zero: s.words[page] = State::Word::zero; break;
      case State::linked:
        s.slots[slot_of(c, me.pending_own)] = me.pending_link;
        me.pending_link = 0;
        me.pending_own = false;
        break;
      case State::unlocked:
        if ((me.pending & State::linked) != 0) return false;
        s.lock_holder = 0;
        break;
      case State::leaf: s.words[page] = State::Word::leaf; break;
      case State::clear:
        s.words[page] = State::Word::zero;
        s.held[c].make_stale(static_cast<std::uint8_t>((1u << i_.cpus) - 1));
        break;
      default: break;
    }
    me.pending &= static_cast<std::uint8_t>(~what);
    if ((me.pending & (State::zero | State::leaf | State::clear)) == 0) me.pending_page = 0;
    return true;
  }

  static void buffer(State& s, unsigned c, unsigned what, unsigned page_plus_1) {
    auto& me = s.cpus[c];
    me.pending |= static_cast<std::uint8_t>(what);
    me.pending_page = static_cast<std::uint8_t>(page_plus_1);
  }

  /// The slot as this CPU reads it: its own buffered link counts.
  std::uint8_t table_at(const State& s, unsigned c, bool own) const {
    const auto& me = s.cpus[c];
    if ((me.pending & State::linked) != 0 && me.pending_own == own) return me.pending_link;
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
        buffer(s, c, State::zero, me.table);
        go(Step::dsb_zeroes);
        break;
      case Step::dsb_zeroes:
        if (me.pending != 0) return;
        s.held[c].dsb_ishst(c);  // no TLBI of its own names the others
        go(Step::link);
        break;
      case Step::link:
        me.pending |= State::linked;
        me.pending_link = me.table;
        me.pending_own = me.own;
        me.table = 0;
        go(Step::unlock);
        break;
      case Step::unlock:
        if (me.pending == 0)
          s.lock_holder = 0;  // at once, when nothing is older
        else
          me.pending |= State::unlocked;
        table_is_there();
        break;
      case Step::map:
        buffer(s, c, State::leaf, own_table);
        go(Step::dsb_map);
        break;
      case Step::unmap:
        buffer(s, c, State::clear, own_table);
        go(Step::dsb_unmap);
        break;
      case Step::dsb_map:
      case Step::dsb_unmap:
        if (me.pending != 0) return;
        s.held[c].dsb_ishst(c);  // no TLBI of its own names the others
        go(me.step == Step::dsb_map ? Step::isb_map : Step::tlbi);
        break;
      case Step::tlbi:
        s.held[c].tlbi(c);
        go(Step::dsb_tlbi);
        break;
      case Step::dsb_tlbi:
        if (me.pending != 0) return;
        s.held[c].dsb(c);
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
