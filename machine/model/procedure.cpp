// SPDX-License-Identifier: MIT
#include "machine/model/procedure.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace shootdown::model {
Procedure::Procedure(Task task, const Setting& setting) : task_(std::move(task)), setting_(setting) {
  start_ = intern(run({}), 0, 0, 0);
}

Procedure::Outcome Procedure::run(std::span<const std::uint64_t> log,
                                  std::vector<ModelMachine::Visit>* visits) const {
  ModelMachine machine(setting_.cpu, setting_.cpu_count, setting_.features, setting_.root, setting_.mutation,
                       log);
  machine.collect(visits);
  bool returned = false;
  try {
    task_(machine);
    returned = true;
  } catch (const Suspended&) {
  }
  Outcome outcome{machine.pending(), machine.site(), {}};
  if (returned) {
    outcome.pending = op::Done{};
  } else {
    outcome.identity = machine.history().words();
  }
  append_words(outcome.pending, outcome.identity);
  return outcome;
}

Procedure::Local Procedure::intern(const Outcome& outcome, Local parent, std::uint64_t answer,
                                   std::uint32_t depth) {
  const Local id = identities_.intern(outcome.identity);
  if (id == states_.size()) states_.push_back({outcome.pending, outcome.site, parent, answer, depth});
  return id;
}

Procedure::Log Procedure::log_of(Local l) const {
  Log log(states_[l].depth);
  for (; states_[l].depth > 0; l = states_[l].parent) log[states_[l].depth - 1] = states_[l].answer;
  return log;
}

Procedure::Local Procedure::step(Local from, std::uint64_t answer) {
  const auto known = memo_.find({from, answer});
  if (known != memo_.end()) return known->second;
  Log log = log_of(from);
  log.push_back(answer);
  const Local to = intern(run(log), from, answer, static_cast<std::uint32_t>(log.size()));
  memo_.emplace(Key{from, answer}, to);
  if (keep_logs_) {
    logs_.resize(states_.size());
    answers_.resize(states_.size());
    answers_[from].push_back(answer);
    logs_[to].push_back(std::move(log));
  }
  return to;
}

std::string Procedure::audit() {
  logs_.resize(states_.size());
  answers_.resize(states_.size());
  for (const auto& [key, to] : memo_) {
    Log log = log_of(key.from);
    log.push_back(key.answer);
    if (identities_.find(run(log).identity) != to)
      return fmt::format("the same run goes on differently a second time at {}:{}",
                         states_[key.from].site.function(), states_[key.from].site.line);
  }
  for (Local l = 0; l < logs_.size(); ++l) {
    // The first log is the one that the steps out of `l` were worked out from.
    for (std::size_t i = 1; i < logs_[l].size(); ++i)
      if (auto found = audit_from(l, logs_[l][i]); !found.empty()) return found;
  }
  return {};
}

std::string Procedure::audit_from(Local start, const Log& merged) {
  std::vector<bool> reached(states_.size());
  std::vector<std::pair<Local, Log>> open{{start, merged}};
  reached[start] = true;
  while (!open.empty()) {
    const auto [from, log] = std::move(open.back());
    open.pop_back();
    for (std::uint64_t answer : answers_[from]) {
      Log longer = log;
      longer.push_back(answer);
      const Local expected = memo_.at({from, answer});
      if (identities_.find(run(longer).identity) != expected)
        return fmt::format("two runs that were taken for one at {}:{} go on differently at {}:{}",
                           states_[start].site.function(), states_[start].site.line,
                           states_[from].site.function(), states_[from].site.line);
      if (reached[expected]) continue;
      reached[expected] = true;
      open.emplace_back(expected, std::move(longer));
    }
  }
  return {};
}

std::vector<ModelMachine::Visit> Procedure::visits(Local l) const {
  std::vector<ModelMachine::Visit> all;
  run(log_of(l), &all);
  return all;
}

std::size_t Procedure::bytes() const {
  return identities_.bytes() + states_.capacity() * sizeof(State) + memo_.size() * 48;
}

}  // namespace shootdown::model
