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
  scenario::MutantResult result;  ///< the most telling: the first of the greatest fate
  unsigned combinations = 0;      ///< it was searched in
  std::uint64_t states = 0;       ///< of all of them
  double seconds = 0;
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
