// SPDX-License-Identifier: MIT
// One check as a JSON object: keys and their order are a promise, see docs/formats.md.
#pragma once

#include <nlohmann/json.hpp>

#include "report/check/writer.hpp"

namespace shootdown::report {

nlohmann::ordered_json check_json(const scenario::CheckResult& result, const CheckPlan& plan);

}  // namespace shootdown::report
