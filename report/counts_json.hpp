// SPDX-License-Identifier: MIT
// The "counts" object of every command's JSON (docs/formats.md). Kinds that never happened are left out.
#pragma once

#include <nlohmann/json.hpp>

#include "report/counts.hpp"

namespace shootdown::report {

inline nlohmann::ordered_json counts_json(const Counts& counts) {
  using nlohmann::ordered_json;
  ordered_json tlbi = ordered_json::object();
  for (std::size_t i = 0; i < counts.tlbi.size(); ++i)
    if (counts.tlbi[i] != 0) tlbi[vmsa::tlbi_name(vmsa::tlbi_ops[i]).c_str()] = counts.tlbi[i];
  ordered_json dsb = ordered_json::object();
  for (std::size_t i = 0; i < counts.dsb.size(); ++i)
    if (counts.dsb[i] != 0) dsb[machine::dsb_names[i]] = counts.dsb[i];
  ordered_json json;
  json["tlbi"] = std::move(tlbi);
  json["dsb"] = std::move(dsb);
  json["isb"] = counts.isb;
  json["sgi"] = counts.sgi;
  json["descriptor_stores"] = counts.descriptor_stores;
  json["tables_freed"] = counts.tables_freed;
  json["instructions"] = counts.instructions ? ordered_json(*counts.instructions) : ordered_json(nullptr);
  return json;
}

}  // namespace shootdown::report
