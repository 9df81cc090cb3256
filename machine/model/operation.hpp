// SPDX-License-Identifier: MIT
// One operation that a procedure has asked for and the model has not yet answered: those of every machine, and those
// that only a scenario asks of the model.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "machine/machine.hpp"
#include "shadow/entry.hpp"

namespace shootdown::model {

using machine::Descriptor;
using machine::PhysAddr;
using machine::PhysRange;
using machine::VirtAddr;

/// What runs on a CPU: its task, an interrupt handler over it, a pseudo-NMI over that.
enum class Level : std::uint8_t { task, interrupt, nmi };

/// What a CPU does not take: interrupts (interrupts off is a read section, too), or pseudo-NMIs as well.
enum class Mask : std::uint8_t { none, interrupts, all };

namespace op {

using namespace machine::op;

/// Any number below `count`: the explorer tries all.
struct Choose {
  using Answer = std::uint64_t;
  std::uint64_t count;
};
/// Takes over any page that was released, waiting until there is one.
struct TakeReleased {
  using Answer = PhysAddr;
};
/// A plain store by the owner of a page that is no table.
struct DataStore {
  using Answer = void;
  PhysAddr pa;
  std::uint64_t value;
};
/// Waits until a word, under a mask, is a value, and acquires (smp_cond_load_acquire()): a loop without its rounds.
struct AwaitWord {
  using Answer = std::uint64_t;
  PhysAddr pa;
  std::uint64_t mask;
  std::uint64_t value;
};
/// An instruction fetch through the translation.
struct Fetch {
  using Answer = machine::Access;
  VirtAddr va;
  bool user = false;
};
/// Writes TTBR0_EL1; root 0 is none. In force alone after the next context synchronisation.
struct WriteTtbr0 {
  using Answer = void;
  PhysAddr root;
  std::uint16_t asid;
};
/// The kernel gives up an ASID: nobody runs with it again before its CPUs have flushed it.
struct RetireAsid {
  using Answer = void;
  PhysAddr root;
  std::uint16_t asid;
};
/// Which interrupts a CPU takes; answers what it was.
struct SetMask {
  using Answer = Mask;
  Mask mask;
};
/// A software-generated interrupt to other CPUs. Not ordered with stores but by a DSB.
struct SendSgi {
  using Answer = void;
  shadow::CpuSet to;
  Level level;
};
/// rcu_read_lock() and rcu_read_unlock().
struct BeginSection {
  using Answer = void;
};
struct EndSection {
  using Answer = void;
};
/// The two halves of synchronize_rcu(): who is in a section, and waiting until they have left it.
struct BeginGrace {
  using Answer = void;
};
struct AwaitGrace {
  using Answer = void;
};
/// call_rcu(): frees pages after a grace period.
struct FreeAfterGrace {
  using Answer = void;
  PhysAddr page;
  machine::PageUse use;
  unsigned order;
};
/// Software relies on nobody making such an access to the range of an address space any more (root 0: the kernel's): a
/// copy is made, a page written back, a change of permissions returns. `flag`: on a clean or old flag that it has read.
struct Rely {
  using Answer = void;
  PhysAddr root;
  std::uint16_t asid;
  vmsa::VirtRange range;
  vmsa::AccessKind nobody;
  bool flag = false;
};
/// An access that the scenario holds to be legal faulted.
struct UnexpectedFault {
  using Answer = void;
  VirtAddr va;
};
/// The procedure has returned.
struct Done {
  using Answer = void;
};

}  // namespace op

namespace detail {
template <typename List, typename... More>
struct VariantOf;
template <typename... Op, typename... More>
struct VariantOf<machine::OperationList<Op...>, More...> {
  using type = std::variant<More..., Op...>;
};
}  // namespace detail

/// Done is the first: a default operation.
using Operation =
    detail::VariantOf<machine::Operations, op::Done, op::Choose, op::TakeReleased, op::DataStore,
                      op::UnexpectedFault, op::AwaitWord, op::Fetch, op::WriteTtbr0, op::RetireAsid,
                      op::SetMask, op::SendSgi, op::BeginSection, op::EndSection, op::BeginGrace,
                      op::AwaitGrace, op::FreeAfterGrace, op::Rely>::type;

/// Which operation, whatever its operands.
class Kind {
 public:
  constexpr Kind() = default;
  constexpr explicit Kind(std::size_t index) : index_(static_cast<std::uint8_t>(index)) {}
  friend constexpr auto operator<=>(Kind, Kind) = default;
  constexpr unsigned index() const { return index_; }

 private:
  std::uint8_t index_ = 0;
};
inline Kind kind(const Operation& o) { return Kind(o.index()); }

namespace detail {
template <typename Op, typename... All>
constexpr std::size_t position(const std::variant<All...>*) {
  std::size_t n = 0;
  (void)((std::is_same_v<Op, All> || (++n, false)) || ...);
  return n;
}
}  // namespace detail
template <typename Op>
inline constexpr Kind kind_of{detail::position<Op>(static_cast<const Operation*>(nullptr))};

template <typename Op>
bool is(const Operation& o) {
  return std::holds_alternative<Op>(o);
}

/// A function object out of lambdas, one an operation; a last one may be generic.
template <typename... Fn>
struct Overloaded : Fn... {
  using Fn::operator()...;
};
template <typename... Fn>
Overloaded(Fn...) -> Overloaded<Fn...>;

/// Kind and fields as words: equal operations have equal words.
void append_words(const Operation& o, std::vector<std::uint64_t>& out);

/// Where in the code an operation stands: the functions entered (outermost first) and the line of the call.
struct Site {
  std::vector<const char*> functions;
  unsigned line = 0;

  const char* function() const { return functions.empty() ? "?" : functions.back(); }
};

/// Answers are words; these are how each type of answer becomes one.
/// A fault is one of the largest numbers: kind and level.
inline constexpr std::uint64_t first_fault = ~std::uint64_t{0xff};
constexpr std::uint64_t fault_word(vmsa::Fault fault, vmsa::Level level) {
  return first_fault | static_cast<std::uint64_t>(fault) << 4 | static_cast<std::uint64_t>(level.value + 1);
}
constexpr bool is_fault(std::uint64_t word) { return word >= first_fault; }

constexpr std::uint64_t to_word(PhysAddr a) { return a.value; }
constexpr std::uint64_t to_word(Descriptor d) { return d.bits; }
/// A deferred page in one word: pages are aligned, so use and order fit below.
constexpr std::uint64_t to_word(const machine::Deferred& d) {
  return d.page.value | static_cast<std::uint64_t>(d.use) << 8 | d.order;
}

template <typename Answer>
constexpr Answer from_word(std::uint64_t word) {
  if constexpr (std::is_same_v<Answer, PhysAddr>)
    return PhysAddr(word);
  else if constexpr (std::is_same_v<Answer, Descriptor>)
    return Descriptor{word};
  else if constexpr (std::is_same_v<Answer, machine::Access>)
    return is_fault(word) ? machine::Access{.faulted = 1,
                                            .fault = static_cast<vmsa::Fault>(word >> 4 & 0xf),
                                            .level = {static_cast<int>(word & 0xf) - 1}}
                          : machine::Access{.value = word};
  else if constexpr (std::is_same_v<Answer, machine::Deferred>)
    return {PhysAddr(word & ~std::uint64_t{0xfff}), static_cast<machine::PageUse>(word >> 8 & 0xf),
            static_cast<unsigned>(word & 0xff)};
  else
    return static_cast<Answer>(word);
}

}  // namespace shootdown::model
