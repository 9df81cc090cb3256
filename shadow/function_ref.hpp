// SPDX-License-Identifier: MIT
// A callable by reference, for the length of one call: two words, nothing allocated, where std::function would copy
// what it captures. The searches make millions of such calls.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace shootdown::shadow {

template <typename Signature>
class FunctionRef;

template <typename Result, typename... Args>
class FunctionRef<Result(Args...)> {
 public:
  FunctionRef() = default;
  template <typename Fn>
  requires(!std::is_same_v<std::remove_cvref_t<Fn>, FunctionRef>)
      FunctionRef(Fn&& fn)  // NOLINT(google-explicit-constructor): stands in for the callable itself
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(fn)))),
        call_([](void* object, Args... args) -> Result {
          return (*static_cast<std::remove_reference_t<Fn>*>(object))(std::forward<Args>(args)...);
        }) {}

  explicit operator bool() const { return call_ != nullptr; }
  Result operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_ = nullptr;
  Result (*call_)(void*, Args...) = nullptr;
};

}  // namespace shootdown::shadow
