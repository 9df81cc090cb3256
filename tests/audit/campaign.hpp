// SPDX-License-Identifier: MIT
// The campaign over broken kernels: every instruction of table maintenance that a workload executes is replaced by
// NOP in turn, and the kernel audited again. One that is not caught needs a reason, found in the recorded run of
// the whole kernel; one without a reason is a hole in the judge.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "audit/audit.hpp"
#include "tests/audit/mutants.hpp"

namespace shootdown::audit::test {

struct CampaignRow {
  std::string operation;  ///< "VAALE1IS", "DSB ISH", "store: clear"
  std::string place;      ///< "free_empty_tables+0x1c8/0x2f0"
  std::string caller;
  std::uint64_t pc = 0;
  std::uint64_t count = 0;  ///< executions in the window of the whole kernel
  std::string result;       ///< caught, harmless, guest (it did not come to its end), unexplained
  std::string harm;         ///< of what was caught, with the next two
  std::string cause;
  std::string title;
  std::string predicted;  ///< "harm, cause" of the recorded run without the instruction; empty: none
  std::string reason;
};

nlohmann::ordered_json row_json(const CampaignRow& row);
CampaignRow row_from_json(const nlohmann::ordered_json& json);
void write_markdown(std::ostream& out, const std::vector<CampaignRow>& rows);

struct Campaign {
  AuditRequest request;          ///< the whole kernel and the workload
  std::filesystem::path folder;  ///< for the trace and the broken images
  std::filesystem::path rows;    ///< NDJSON; rows that are there already are not done again
  std::function<void(std::string_view)> tell;
};

/// Errors: those of the whole kernel's audit (which must end without a violation) and of the files. What a mutant
/// does to its guest is a row.
Expected<std::vector<CampaignRow>> run_campaign(const Campaign& campaign);

}  // namespace shootdown::audit::test
