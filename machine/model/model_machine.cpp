// SPDX-License-Identifier: MIT
#include "machine/model/model_machine.hpp"

#include <stdexcept>

#include <fmt/format.h>

namespace shootdown::model {

namespace {

machine::Access access(std::uint64_t response) {
  if (response == response_fault) return {.faulted = 1};
  return {.value = response};
}

}  // namespace

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

std::uint64_t ModelMachine::next(const Op& op, Location at) {
  if (suspended_) return 0;  // unwinding: a destructor may still ask
  if (position_ < log_.size()) return log_[position_++];
  pending_ = op;
  site_ = {history_.functions(), at.line()};
  suspended_ = true;
  throw Suspended{};
}

std::uint64_t ModelMachine::ask(const Op& op, Location at) {
  const std::uint64_t response = next(op, at);
  if (!suspended_) history_.answer(response);
  return response;
}

void ModelMachine::tell_unmutated(const Op& op, Location at) {
  next(op, at);
  if (!suspended_) history_.nothing();
}

void ModelMachine::tell(const Op& op, Location at) {
  if (visits_ != nullptr && !suspended_) visits_->push_back({{history_.functions(), at.line()}, op});
  const bool may_apply =
      mutation_ != nullptr && mutation_->kind == op.kind && mutation_->site.line == at.line();
  if (!may_apply || !mutation_->applies({history_.functions(), at.line()}, op.kind))
    return tell_unmutated(op, at);
  for (const Op& instead : weaken(op, mutation_->weakening)) tell_unmutated(instead, at);
}

void ModelMachine::lock_op(OpKind kind, machine::Lock l, Location at) {
  tell({kind, static_cast<std::uint64_t>(l)}, at);
}

Descriptor ModelMachine::read_once(PhysAddr slot, Location at) {
  return Descriptor{ask({OpKind::read, slot.value}, at)};
}

void ModelMachine::write_once(PhysAddr slot, Descriptor d, Location at) {
  tell({OpKind::write, slot.value, d.bits}, at);
}

Descriptor ModelMachine::cmpxchg(PhysAddr slot, Descriptor expected, Descriptor desired, Location at) {
  return Descriptor{ask({OpKind::cmpxchg, slot.value, expected.bits, desired.bits}, at)};
}

void ModelMachine::dsb(machine::Dsb kind, Location at) {
  tell({OpKind::dsb, static_cast<std::uint64_t>(kind)}, at);
}

void ModelMachine::isb(Location at) { tell({OpKind::isb}, at); }

void ModelMachine::tlbi(const vmsa::Tlbi& t, Location at) {
  // Elsewhere the operand could not be made (tlbi_operand()): a search that took it would call safe what cannot run.
  if (t.op.range && !vmsa::range_fields(t.pages))
    throw std::logic_error(
        fmt::format("model: no SCALE and NUM of a range TLBI say {} pages (R_QKRKL)", t.pages));
  Op op{OpKind::tlbi};
  op.tlbi = t;
  tell(op, at);
}

machine::Access ModelMachine::load(VirtAddr va, Location at) {
  return access(ask({OpKind::load, va.value}, at));
}

machine::Access ModelMachine::store(VirtAddr va, std::uint64_t value, Location at) {
  return access(ask({OpKind::store, va.value, value}, at));
}

PhysAddr ModelMachine::alloc_pages(machine::PageUse use, unsigned order, Location at) {
  return PhysAddr(ask({OpKind::alloc, static_cast<std::uint64_t>(use), order}, at));
}

void ModelMachine::clear_page(PhysAddr page, Location at) { tell({OpKind::clear_page, page.value}, at); }

void ModelMachine::free_pages(PhysAddr page, machine::PageUse use, unsigned order, Location at) {
  tell({OpKind::free, page.value, static_cast<std::uint64_t>(use), order}, at);
}

void ModelMachine::defer_free(PhysAddr page, machine::PageUse use, unsigned order, Location at) {
  tell({OpKind::defer, pack_page(page, use, order)}, at);
}

machine::Exemplar::Deferred ModelMachine::take_deferred(Location at) {
  return unpack_page(ask({OpKind::take_deferred}, at));
}

void ModelMachine::release_range(PhysRange range, Location at) {
  tell({OpKind::release_range, range.start.value, range.end.value}, at);
}

void ModelMachine::memblock_add(PhysRange range, Location at) {
  tell({OpKind::memblock_add, range.start.value, range.end.value}, at);
}

void ModelMachine::memblock_remove(PhysRange range, Location at) {
  tell({OpKind::memblock_remove, range.start.value, range.end.value}, at);
}

bool ModelMachine::pfn_valid(PhysAddr pa, Location at) { return ask({OpKind::pfn_valid, pa.value}, at) != 0; }

void ModelMachine::lock(machine::Lock l, Location at) { lock_op(OpKind::lock, l, at); }

void ModelMachine::unlock(machine::Lock l, Location at) { lock_op(OpKind::unlock, l, at); }

void ModelMachine::lock_shared(machine::Lock l, Location at) { lock_op(OpKind::lock_shared, l, at); }

void ModelMachine::unlock_shared(machine::Lock l, Location at) { lock_op(OpKind::unlock_shared, l, at); }

void ModelMachine::cond_resched() {}

void ModelMachine::warn(const char* what, Location at) {
  Op op{OpKind::warn};
  op.text = what;
  tell(op, at);
}

void ModelMachine::enter(const char* function) {
  if (!suspended_) history_.enter(function);
}

void ModelMachine::leave(const std::uint64_t* words, std::size_t count) {
  if (!suspended_) history_.leave({words, count});
}

std::uint64_t ModelMachine::choose(std::uint64_t count, Location at) {
  return ask({OpKind::choose, count}, at);
}

PhysAddr ModelMachine::take_released(Location at) { return PhysAddr(ask({OpKind::take_released}, at)); }

void ModelMachine::data_store(PhysAddr pa, std::uint64_t value, Location at) {
  tell({OpKind::data_store, pa.value, value}, at);
}

void ModelMachine::live(std::initializer_list<std::uint64_t> values, Location at) {
  if (!suspended_) history_.live({values.begin(), values.size()}, at.line());
}

void ModelMachine::unexpected_fault(VirtAddr va, Location at) {
  tell({OpKind::unexpected_fault, va.value}, at);
}

}  // namespace shootdown::model
