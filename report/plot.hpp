// SPDX-License-Identifier: MIT
// A sweep as an SVG file, drawn by gnuplot.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

namespace shootdown::report {

/// The gnuplot program that draws a sweep into `svg`: data and commands in one text.
std::string plot_program(const std::string& svg, const std::vector<nlohmann::ordered_json>& lines);

/// Draws it. An error says what is missing, as one line.
tl::expected<void, std::string> plot_sweep(const std::string& svg,
                                           const std::vector<nlohmann::ordered_json>& lines);

}  // namespace shootdown::report
