// SPDX-License-Identifier: MIT
// Findings that a user has looked at and accepts, each with the reason: `TITLE: reason` a line, where TITLE is
// a finding's title or ends in `*`; `#` begins a comment.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "audit/error.hpp"
#include "audit/result.hpp"

namespace shootdown::audit {

struct Suppression {
  std::string title;
  std::string reason;
};

/// Errors: `missing_input`; `bad_data`, with the line, for an entry without a reason.
Expected<std::vector<Suppression>> read_suppressions(const std::filesystem::path& path);
Expected<std::vector<Suppression>> parse_suppressions(std::string_view text, std::string_view file_name);

/// Notes the reason in each finding that is named.
void suppress(AuditResult& result, const std::vector<Suppression>& suppressions);

}  // namespace shootdown::audit
