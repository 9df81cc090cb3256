// SPDX-License-Identifier: MIT
// The Machine concept: code which changes live page tables is written once over it (mm/); model/, timed/ and metal/
// provide it. What can be asked is operation.hpp; here is how a procedure spells it, and Scope.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "machine/operation.hpp"
#include "vmsa/break_before_make.hpp"

namespace shootdown::machine {

/// What the CPUs implement, as far as procedures ask.
struct Features {
  bool range_tlbi = true;            ///< FEAT_TLBIRANGE
  bool hardware_access_flag = true;  ///< FEAT_HAFDBS: walks set AF in leaves
  bool hardware_dirty = true;        ///< FEAT_HAFDBS: writes make a leaf with DBM dirty
  bool hardware_table_flag = false;  ///< FEAT_HAFT: and in table descriptors
  bool repeat_tlbi = false;          ///< erratum: each broadcast completion costs one more TLBI and DSB
  vmsa::BbmLevel bbm = vmsa::BbmLevel::level0;

  friend constexpr bool operator==(const Features&, const Features&) = default;
};

/// For machines that do not care where in the code an operation stands.
struct Anywhere {
  static constexpr Anywhere current() { return {}; }
};

/// A read-modify-write as a read and a write: for machines on which no other CPU comes between the two.
template <typename Machine>
Descriptor in_two_steps(Machine& m, const op::Cmpxchg& o) {
  const Descriptor old = m.read_once(o.slot);
  if (old == o.expected) m.write_once(o.slot, o.desired);
  return old;
}
template <typename Machine>
Descriptor in_two_steps(Machine& m, const op::FetchUpdate& o) {
  const Descriptor old = m.read_once(o.slot);
  m.write_once(o.slot, op::updated(o.update, old, o.operand));
  return old;
}

/// The operations as calls, `m.read_once(slot)`: what a machine inherits. `Self` has one `perform(op, Where)` for each
/// of `Operations`; `Where` is std::source_location or Anywhere.
template <typename Self, typename Where = Anywhere>
class Calls {
 public:
#define SHOOTDOWN_CALL [[gnu::always_inline]] inline
  SHOOTDOWN_CALL Descriptor read_once(PhysAddr slot, Where at = Where::current()) {
    return self().perform(op::ReadOnce{slot}, at);
  }
  SHOOTDOWN_CALL Descriptor load_acquire(PhysAddr slot, Where at = Where::current()) {
    return self().perform(op::ReadOnce{slot, Order::acquire}, at);
  }
  SHOOTDOWN_CALL void write_once(PhysAddr slot, Descriptor d, Where at = Where::current()) {
    self().perform(op::WriteOnce{slot, d}, at);
  }
  SHOOTDOWN_CALL void store_release(PhysAddr slot, Descriptor d, Where at = Where::current()) {
    self().perform(op::WriteOnce{slot, d, Order::release}, at);
  }
  SHOOTDOWN_CALL Descriptor cmpxchg(PhysAddr slot, Descriptor expected, Descriptor desired,
                                    Order order = Order::acq_rel, Where at = Where::current()) {
    return self().perform(op::Cmpxchg{slot, expected, desired, order}, at);
  }
  SHOOTDOWN_CALL Descriptor xchg(PhysAddr slot, Descriptor d, Order order = Order::acq_rel,
                                 Where at = Where::current()) {
    return self().perform(op::FetchUpdate{slot, op::Update::exchange, d.bits, order}, at);
  }
  SHOOTDOWN_CALL Descriptor fetch_or(PhysAddr slot, std::uint64_t bits, Order order = Order::acq_rel,
                                     Where at = Where::current()) {
    return self().perform(op::FetchUpdate{slot, op::Update::set, bits, order}, at);
  }
  SHOOTDOWN_CALL Descriptor fetch_andnot(PhysAddr slot, std::uint64_t bits, Order order = Order::acq_rel,
                                         Where at = Where::current()) {
    return self().perform(op::FetchUpdate{slot, op::Update::clear, bits, order}, at);
  }
  /// The same on words of data that CPUs share.
  SHOOTDOWN_CALL std::uint64_t read_word(PhysAddr pa, Order order = Order::relaxed,
                                         Where at = Where::current()) {
    return self().perform(op::ReadOnce{pa, order, Word::data}, at).bits;
  }
  SHOOTDOWN_CALL void write_word(PhysAddr pa, std::uint64_t value, Order order = Order::relaxed,
                                 Where at = Where::current()) {
    self().perform(op::WriteOnce{pa, Descriptor{value}, order, Word::data}, at);
  }
  SHOOTDOWN_CALL std::uint64_t update_word(PhysAddr pa, op::Update update, std::uint64_t operand,
                                           Order order = Order::acq_rel, Where at = Where::current()) {
    return self().perform(op::FetchUpdate{pa, update, operand, order, Word::data}, at).bits;
  }
  SHOOTDOWN_CALL std::uint64_t cmpxchg_word(PhysAddr pa, std::uint64_t expected, std::uint64_t desired,
                                            Order order = Order::acq_rel, Where at = Where::current()) {
    return self()
        .perform(op::Cmpxchg{pa, Descriptor{expected}, Descriptor{desired}, order, Word::data}, at)
        .bits;
  }
  SHOOTDOWN_CALL void dmb(Dmb kind, Where at = Where::current()) { self().perform(op::Dmb{kind}, at); }
  SHOOTDOWN_CALL void dsb(Dsb kind, Where at = Where::current()) { self().perform(op::Dsb{kind}, at); }
  SHOOTDOWN_CALL void isb(Where at = Where::current()) { self().perform(op::Isb{}, at); }
  SHOOTDOWN_CALL void tlbi(const vmsa::Tlbi& t, Where at = Where::current()) {
    self().perform(op::Tlbi{t}, at);
  }
  SHOOTDOWN_CALL Access load(VirtAddr va, Where at = Where::current()) {
    return self().perform(op::Load{va}, at);
  }
  SHOOTDOWN_CALL Access load_user(VirtAddr va, Where at = Where::current()) {
    return self().perform(op::Load{va, true}, at);
  }
  SHOOTDOWN_CALL Access store_user(VirtAddr va, std::uint64_t value, Where at = Where::current()) {
    return self().perform(op::Store{va, value, true}, at);
  }
  SHOOTDOWN_CALL Access store(VirtAddr va, std::uint64_t value, Where at = Where::current()) {
    return self().perform(op::Store{va, value}, at);
  }
  SHOOTDOWN_CALL PhysAddr alloc_pages(PageUse use, unsigned order, Where at = Where::current()) {
    return self().perform(op::AllocPages{use, order}, at);
  }
  SHOOTDOWN_CALL void clear_page(PhysAddr page, Where at = Where::current()) {
    self().perform(op::ClearPage{page}, at);
  }
  SHOOTDOWN_CALL void free_pages(PhysAddr page, PageUse use, unsigned order, Where at = Where::current()) {
    self().perform(op::FreePages{page, use, order}, at);
  }
  SHOOTDOWN_CALL void defer_free(PhysAddr page, PageUse use, unsigned order, Where at = Where::current()) {
    self().perform(op::DeferFree{page, use, order}, at);
  }
  SHOOTDOWN_CALL Deferred take_deferred(Where at = Where::current()) {
    return self().perform(op::TakeDeferred{}, at);
  }
  SHOOTDOWN_CALL void release_range(PhysRange range, Where at = Where::current()) {
    self().perform(op::ReleaseRange{range}, at);
  }
  SHOOTDOWN_CALL void memblock_add(PhysRange range, Where at = Where::current()) {
    self().perform(op::MemblockAdd{range}, at);
  }
  SHOOTDOWN_CALL void memblock_remove(PhysRange range, Where at = Where::current()) {
    self().perform(op::MemblockRemove{range}, at);
  }
  SHOOTDOWN_CALL bool pfn_valid(PhysAddr pa, Where at = Where::current()) {
    return self().perform(op::PfnValid{pa}, at);
  }
  SHOOTDOWN_CALL void lock(Lock l, Where at = Where::current()) { self().perform(op::TakeLock{l}, at); }
  SHOOTDOWN_CALL void unlock(Lock l, Where at = Where::current()) { self().perform(op::DropLock{l}, at); }
  SHOOTDOWN_CALL void lock_shared(Lock l, Where at = Where::current()) {
    self().perform(op::TakeLockShared{l}, at);
  }
  SHOOTDOWN_CALL void unlock_shared(Lock l, Where at = Where::current()) {
    self().perform(op::DropLockShared{l}, at);
  }
  SHOOTDOWN_CALL void cond_resched(Where at = Where::current()) { self().perform(op::CondResched{}, at); }
  SHOOTDOWN_CALL void warn(const char* what, Where at = Where::current()) {
    self().perform(op::Warn{what}, at);
  }
#undef SHOOTDOWN_CALL

 private:
  Self& self() { return static_cast<Self&>(*this); }
};

namespace detail {
template <typename M, typename Op>
concept Performs = requires(M& m, const Op& op) {
  { m.perform(op, {}) } -> std::same_as<typename Op::Answer>;
};
template <typename M, typename List>
inline constexpr bool performs_all = false;
template <typename M, typename... Op>
inline constexpr bool performs_all<M, OperationList<Op...>> = (Performs<M, Op> && ...);
}  // namespace detail

/// A machine performs every operation, knows who runs on it, and hears where functions begin and end (Scope).
/// `cpu` and `cpu_count` are stable for the run of a procedure; `kernel_root` is the root table of TTBR1_EL1.
template <typename M>
concept Machine = detail::performs_all<M, Operations> && requires(M& m, const M& c) {
  { c.cpu() } -> std::convertible_to<unsigned>;
  { c.cpu_count() } -> std::convertible_to<unsigned>;
  { c.features() } -> std::convertible_to<const Features&>;
  { c.kernel_root() } -> std::same_as<PhysAddr>;
  m.enter("");
  requires requires { m.leave(nullptr, std::size_t{}); } || requires(const char* name) {
    m.leave(name);
  };
};

/// Marks a function of a procedure: the first line of every function that performs operations.
///
/// It names the function in reports, splits time and counts by function, and tells the explorer which part of
/// a suspended procedure still matters: once a function has returned, only its result does. Hence the rule
/// that mm/ keeps: values go in as arguments and come out through `return scope.leave(value)`; nothing is
/// changed through a reference but the machine itself. A machine to which results matter stops where one is forgotten.
template <Machine M, typename Result = void>
class Scope {
 public:
  [[gnu::always_inline]] Scope(M& m, const char* function) : m_(m), function_(function) {
    m_.enter(function);
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  // A model machine suspends a procedure by an exception; nothing else may leave without a result.
  [[gnu::always_inline]] ~Scope() {
    if constexpr (requires { m_.leave(function_); }) {
      m_.leave(function_);  // a machine that wants no result may ask for the name instead
    } else {
      if constexpr (!std::is_void_v<Result> && requires { m_.left_without_result(function_); })
        if (!left_) m_.left_without_result(function_);
      m_.leave(words_.data(), std::is_void_v<Result> ? 0 : words_.size());
    }
  }

  template <typename R = Result>
  [[nodiscard]] R leave(const R& result) {
    static_assert(std::is_same_v<R, Result> && std::has_unique_object_representations_v<R>);
    static_assert(sizeof(R) <= sizeof(words_));
    const auto bytes = std::bit_cast<std::array<unsigned char, sizeof(R)>>(result);
    for (std::size_t i = 0; i < sizeof(R); ++i) words_[i / 8] |= std::uint64_t{bytes[i]} << i % 8 * 8;
    left_ = true;
    return result;
  }

 private:
  M& m_;
  const char* function_;  // inlined, a literal: costs nothing
  std::array<std::uint64_t, 2> words_{};
  bool left_ = false;
};

}  // namespace shootdown::machine
