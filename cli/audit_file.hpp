// SPDX-License-Identifier: MIT
// Reading back what an audit left: for commands that compare or price audits.
#pragma once

#include <string>

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include "cli/refusal.hpp"

namespace shootdown::cli {

/// The audit in the file as `audit --format json` would print it: a trace is judged again; of several JSON lines the
/// last is taken, the newest where a file collects them.
tl::expected<nlohmann::ordered_json, Refusal> read_audit(const std::string& path);

}  // namespace shootdown::cli
