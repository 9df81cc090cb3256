// SPDX-License-Identifier: MIT
// A procedure as a state machine: the states are identities of the suspended code, the steps are answers. The
// C++ function itself runs once per distinct (state, answer) and is restored by replaying its answers.
#pragma once

#include <functional>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "machine/model/interner.hpp"
#include "machine/model/model_machine.hpp"

namespace shootdown::model {

/// The code that one CPU runs.
using Task = std::function<void(ModelMachine&)>;

class Procedure {
 public:
  using Local = std::uint32_t;  ///< a suspended state

  /// What every run is given.
  struct Setting {
    unsigned cpu = 0;
    unsigned cpu_count = 1;
    machine::Features features;
    PhysAddr root;
    const Mutation* mutation = nullptr;  ///< must outlive the procedure
  };

  Procedure(Task task, const Setting& setting);

  Local start() const { return start_; }
  /// The state after `answer` to the pending operation of `from`.
  Local step(Local from, std::uint64_t answer);

  const Operation& pending(Local l) const { return states_[l].pending; }
  const Site& site(Local l) const { return states_[l].site; }
  std::size_t state_count() const { return states_.size(); }
  std::size_t bytes() const;

  /// Audits the identities. A run must repeat itself; and where two logs were given one identity, both must go
  /// on alike: the second is run on every answer that the first received, there and in every state reached from
  /// there. `keep_logs` comes before the search. Returns a description of the first disagreement, or nothing.
  void keep_logs() { keep_logs_ = true; }
  std::string audit();

  /// All operations met in a run that follows the recorded answers up to `l` (before any mutation).
  std::vector<ModelMachine::Visit> visits(Local l) const;

 private:
  struct State {
    Operation pending;
    Site site;
    Local parent = 0;
    std::uint64_t answer = 0;
    std::uint32_t depth = 0;  ///< answers since the start
  };
  struct Key {
    Local from;
    std::uint64_t answer;
    friend bool operator==(Key, Key) = default;
  };
  struct KeyHash {
    std::size_t operator()(Key k) const {
      const std::array<std::uint64_t, 2> words{k.from, k.answer};
      return hash_words(words);
    }
  };
  struct Outcome {
    Operation pending;
    Site site;
    std::vector<std::uint64_t> identity;
  };

  Outcome run(std::span<const std::uint64_t> log, std::vector<ModelMachine::Visit>* visits = nullptr) const;
  using Log = std::vector<std::uint64_t>;  ///< answers since the start

  Log log_of(Local l) const;
  std::string audit_from(Local start, const Log& merged);
  Local intern(const Outcome& outcome, Local parent, std::uint64_t answer, std::uint32_t depth);

  Task task_;
  Setting setting_;
  Interner identities_;
  std::vector<State> states_;
  boost::unordered_flat_map<Key, Local, KeyHash> memo_;
  Local start_ = 0;

  bool keep_logs_ = false;
  std::vector<std::vector<Log>> logs_;               ///< by state
  std::vector<std::vector<std::uint64_t>> answers_;  ///< by state
};

}  // namespace shootdown::model
