// SPDX-License-Identifier: MIT
// What a command says to whoever writes its results down: the plan, each result in the order of the plan, the end.
// One writer a format; all of them write standard output and nothing else.
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "report/check/style.hpp"
#include "scenario/check.hpp"

namespace shootdown::report {

/// What is going to be explored, and within which bounds.
struct CheckPlan {
  std::string scenario;
  std::vector<scenario::HotRemoveConfig> configs;  ///< in the order of the output
  explore::Bounds bounds;                          ///< of each search
  unsigned left_out = 0;                           ///< combinations under an `all` that do not exist
  std::string left_out_reason;                     ///< of the first of them
  bool replay = false;                             ///< one path is followed, nothing is searched
  bool verbose = false;
  Style style;
};

class CheckWriter {
 public:
  CheckWriter() = default;
  CheckWriter(const CheckWriter&) = delete;
  virtual ~CheckWriter() = default;

  virtual void begin(const CheckPlan&) {}
  /// Called once for each config of the plan, in its order.
  virtual void result(const scenario::CheckResult& r) = 0;
  virtual void end() {}
};

/// It was not searched at all: the command was stopped before.
inline bool is_not_searched(const scenario::CheckResult& r) {
  return r.search.ending == explore::Ending::interrupted && r.search.states == 0;
}

/// The bound that ended a search: "states", "memory", "interrupted"; null when none did.
inline const char* bound_hit(const scenario::CheckResult& r) {
  switch (r.search.ending) {
    case explore::Ending::states_bound: return "states";
    case explore::Ending::memory_bound: return "memory";
    case explore::Ending::interrupted: return "interrupted";
    default: return nullptr;
  }
}

std::unique_ptr<CheckWriter> make_text_writer(std::ostream& out);
/// One matrix for all page sizes, at the end: cells say once what holds for each.
std::unique_ptr<CheckWriter> make_summary_writer(std::ostream& out);
std::unique_ptr<CheckWriter> make_json_writer(std::ostream& out);
std::unique_ptr<CheckWriter> make_ktap_writer(std::ostream& out);

}  // namespace shootdown::report
