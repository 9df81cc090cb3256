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

namespace shootdown::model {

using machine::Descriptor;
using machine::PhysAddr;
using machine::PhysRange;
using machine::VirtAddr;

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
using Operation = detail::VariantOf<machine::Operations, op::Done, op::Choose, op::TakeReleased,
                                    op::DataStore, op::UnexpectedFault>::type;

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

/// Operations that change nothing that CPUs share, whatever they answer.
inline bool only_asks(const Operation& o) {
  return is<op::ReadOnce>(o) || is<op::Load>(o) || is<op::Store>(o) || is<op::PfnValid>(o) ||
         is<op::Choose>(o) || is<op::Done>(o);
}

/// Where in the code an operation stands: the functions entered (outermost first) and the line of the call.
struct Site {
  std::vector<const char*> functions;
  unsigned line = 0;

  const char* function() const { return functions.empty() ? "?" : functions.back(); }
};

/// Answers are words; these are how each type of answer becomes one.
inline constexpr std::uint64_t response_fault = ~std::uint64_t{0};

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
    return word == response_fault ? machine::Access{.faulted = 1} : machine::Access{.value = word};
  else if constexpr (std::is_same_v<Answer, machine::Deferred>)
    return {PhysAddr(word & ~std::uint64_t{0xfff}), static_cast<machine::PageUse>(word >> 8 & 0xf),
            static_cast<unsigned>(word & 0xff)};
  else
    return static_cast<Answer>(word);
}

}  // namespace shootdown::model
