// SPDX-License-Identifier: MIT
#include "machine/model/model_machine.hpp"

#include <cstdio>
#include <cstdlib>

namespace shootdown::model {

std::vector<std::uint64_t> History::words() const {
  std::vector<std::uint64_t> all;
  for (const Frame& f : frames_) {
    all.push_back(f.items.size());
    all.insert(all.end(), f.items.begin(), f.items.end());
  }
  return all;
}

std::vector<const char*> History::functions() const {
  std::vector<const char*> all;
  for (const Frame& f : frames_)
    if (f.function != nullptr) all.push_back(f.function);
  return all;
}

std::uint64_t ModelMachine::next(const Operation& op, Location at) {
  if (suspended_) return 0;  // unwinding: a destructor may still ask
  if (position_ < log_.size()) return log_[position_++];
  pending_ = op;
  site_ = {history_.functions(), at.line()};
  suspended_ = true;
  throw Suspended{};
}

std::uint64_t ModelMachine::ask(const Operation& op, Location at) {
  const std::uint64_t response = next(op, at);
  if (!suspended_) history_.answer(response);
  return response;
}

void ModelMachine::tell_unmutated(const Operation& op, Location at) {
  next(op, at);
  if (!suspended_) history_.nothing();
}

void ModelMachine::tell(const Operation& op, Location at) {
  if (visits_ != nullptr && !suspended_) visits_->push_back({{history_.functions(), at.line()}, op});
  const bool may_apply =
      mutation_ != nullptr && mutation_->kind == kind(op) && mutation_->site.line == at.line();
  if (!may_apply || !mutation_->applies({history_.functions(), at.line()}, kind(op)))
    return tell_unmutated(op, at);
  for (const Operation& instead : weaken(op, mutation_->weakening)) tell_unmutated(instead, at);
}

void ModelMachine::enter(const char* function) {
  if (!suspended_) history_.enter(function);
}

void ModelMachine::leave(const std::uint64_t* words, std::size_t count) {
  if (!suspended_) history_.leave({words, count});
}

void ModelMachine::left_without_result(const char* function) const {
  if (suspended_) return;
  std::fprintf(stderr, "shootdown: %s returned without scope.leave(): its result is part of the state\n",
               function);
  std::abort();
}

void ModelMachine::live(std::initializer_list<std::uint64_t> values, Location at) {
  if (!suspended_) history_.live({values.begin(), values.size()}, at.line());
}

}  // namespace shootdown::model
