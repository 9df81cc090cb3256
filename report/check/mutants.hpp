// SPDX-License-Identifier: MIT
// The mutation campaign's table: each weakening of a safe procedure, and what became of it.
#pragma once

#include <memory>
#include <ostream>
#include <string>

#include "report/check/writer.hpp"
#include "scenario/campaign.hpp"

namespace shootdown::report {

/// One mutant over all mappings of one strategy and regime in which its site is executed.
struct MutantRow {
  model::Mutation mutation;
  scenario::CheckResult check;  ///< the one that refuted it, else the last
  std::string reason;           ///< why it is redundant, when it is
  unsigned combinations = 0;    ///< it was searched in
  std::uint64_t states = 0;     ///< of all of them
  double seconds = 0;

  bool refuted() const { return check.verdict == scenario::Verdict::unsafe; }
  bool redundant() const { return check.verdict == scenario::Verdict::safe; }
};

class MutantWriter {
 public:
  MutantWriter() = default;
  MutantWriter(const MutantWriter&) = delete;
  virtual ~MutantWriter() = default;

  /// A strategy of one regime: how many mutants there are, and how many of its combinations are unsafe as they are
  /// and therefore left out.
  virtual void begin(const scenario::HotRemoveConfig& config, std::size_t mutants, unsigned unsafe) = 0;
  virtual void row(const MutantRow& row) = 0;
  virtual void end() {}
};

/// `format` is text, json or ktap; `total` is the number of mutants of the whole campaign.
std::unique_ptr<MutantWriter> make_mutant_writer(const std::string& format, const CheckPlan& plan,
                                                 std::size_t total, std::ostream& out);

}  // namespace shootdown::report
