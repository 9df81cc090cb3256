// SPDX-License-Identifier: MIT
// A counterexample as a story: what each CPU did, in order, told line by line; what CPUs may still hold when the
// harm is done, and since when. Text without layout: timeline.hpp lays it out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "scenario/check.hpp"

namespace shootdown::report {

/// Something that happened.
struct StoryLine {
  unsigned step = 0;     ///< of the path, from 1; one step may take several lines
  std::string who;       ///< "CPU 1"; for stores that become visible and hardware walks too
  std::string function;  ///< what acts: empty when no code of that CPU did
  std::string code;      ///< the function that asked for it, earlier when a store leaves its buffer
  std::string text;
  std::vector<std::string> notes;  ///< what it did to stale entries, and the finding
  bool reading = false;            ///< a look at a descriptor or a page: left out of short timelines
  bool relevant = false;           ///< it concerns the entry or the page of the finding, or other CPUs
  bool harmful = false;            ///< the last note is the finding
};

/// A descriptor value that CPUs may hold although the tables no longer say it.
struct Held {
  shadow::Entry entry;
  unsigned since = 0;  ///< the step in which it went stale
};

struct Story {
  vmsa::Regime regime;
  std::vector<StoryLine> lines;        ///< up to the harm
  std::vector<StoryLine> consequence;  ///< and on, to the damage
  std::vector<Held> held;              ///< at the harm
  /// Where the harm was done: functions from the outermost in, empty when no code acted. For a store that became
  /// visible they are those of the code that stored.
  std::vector<const char*> trace;
  unsigned trace_line = 0;
  unsigned step = 0;  ///< of the harm
  /// Who gave the page of the finding away, and who took it over, as far as the story goes.
  struct Deed {
    unsigned step = 0;
    unsigned cpu = 0;
    std::string function;
  };
  std::optional<Deed> released;
  std::optional<Deed> taken;
};

/// `result` must have a counterexample.
Story tell(const scenario::CheckResult& result);

}  // namespace shootdown::report
