// SPDX-License-Identifier: MIT
// Panels of a sweep's plot: simulated time against memory and against CPUs, host time against memory.
#include "report/plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "report/sweep.hpp"
#include "report/time.hpp"

namespace shootdown::report {

namespace {

using nlohmann::ordered_json;

struct Panel {
  const char* title;
  const char* x_member;
  double x_unit;
  const char* x_label;
  const char* y_member;
  double y_unit;
  const char* y_label;
  const char* fixed_member;  ///< of the other axis only the largest value is drawn
  bool range;                ///< draw the 5 to 95 % band
};
constexpr Panel simulated_by_memory{"simulated time",    "memory_bytes", 0x1p30,
                                    "memory, GiB",       "simulated_ns", 1e9,
                                    "simulated seconds", "cpus",         true};
constexpr Panel simulated_by_cpus{"simulated time",    "cpus",         1,   "CPUs", "simulated_ns", 1e9,
                                  "simulated seconds", "memory_bytes", true};
constexpr Panel host_by_memory{
    "time of the simulator",    "memory_bytes", 0x1p30, "memory, GiB", "host_seconds", 1,
    "seconds of one host core", "cpus",         false};

std::uint64_t largest(const std::vector<ordered_json>& lines, const char* member) {
  std::uint64_t most = 0;
  for (const ordered_json& line : lines) most = std::max(most, line.at(member).get<std::uint64_t>());
  return most;
}

/// One data block for each strategy: x, y, low, high.
std::string data_blocks(const Panel& p, int number, const std::vector<ordered_json>& lines) {
  const std::uint64_t fixed = largest(lines, p.fixed_member);
  const auto strategies = distinct(lines, "strategy");
  std::string text;
  for (std::size_t s = 0; s < strategies.size(); ++s) {
    text += fmt::format("$p{}s{} << EOD\n", number, s);
    for (const ordered_json& line : lines) {
      if (line.at("strategy") != strategies[s] || line.at(p.fixed_member).get<std::uint64_t>() != fixed)
        continue;
      text += fmt::format("{:.6g} {:.6g}", line.at(p.x_member).get<double>() / p.x_unit,
                          line.at(p.y_member).get<double>() / p.y_unit);
      if (p.range)
        text += fmt::format(" {:.6g} {:.6g}", line.at("simulated_ns_low").get<double>() / p.y_unit,
                            line.at("simulated_ns_high").get<double>() / p.y_unit);
      text += '\n';
    }
    text += "EOD\n";
  }
  return text;
}

std::string plot_command(const Panel& p, int number, const std::vector<ordered_json>& lines) {
  const auto strategies = distinct(lines, "strategy");
  const std::uint64_t fixed = largest(lines, p.fixed_member);
  const std::string where = std::string_view(p.fixed_member) == "cpus" ? fmt::format("{} CPUs", fixed)
                                                                       : readable_bytes(timed::Bytes(fixed));
  std::string text = fmt::format("set title \"{}, {}\"\nset xlabel \"{}\"\nset ylabel \"{}\"\nplot ", p.title,
                                 where, p.x_label, p.y_label);
  for (std::size_t s = 0; s < strategies.size(); ++s) {
    if (p.range)
      text +=
          fmt::format("$p{0}s{1} using 1:3:4 with filledcurves lc {2} fs transparent solid 0.12 notitle, ",
                      number, s, s + 1);
    text +=
        fmt::format("$p{0}s{1} using 1:2 with linespoints lc {2} pt 7 ps 0.3 lw 1.5 title \"{3}\"{4}", number,
                    s, s + 1, strategies[s].get<std::string>(), s + 1 < strategies.size() ? ", " : "\n");
  }
  return text;
}

std::string quoted(const std::string& path) {
  std::string text = "'";
  for (char c : path) text += c == '\'' ? std::string("''") : std::string(1, c);
  return text + "'";
}

}  // namespace

std::string plot_program(const std::string& svg, const std::vector<ordered_json>& lines) {
  std::vector<Panel> panels;
  if (distinct(lines, "memory_bytes").size() > 1) panels = {simulated_by_memory, host_by_memory};
  if (distinct(lines, "cpus").size() > 1)
    panels.insert(panels.begin() + (panels.empty() ? 0 : 1), simulated_by_cpus);
  if (panels.empty()) panels = {simulated_by_memory};
  std::string text;
  for (std::size_t i = 0; i < panels.size(); ++i) text += data_blocks(panels[i], static_cast<int>(i), lines);
  text +=
      fmt::format("set terminal svg size {},360 dynamic enhanced background '#ffffff' font 'sans-serif,11'\n",
                  400 * panels.size());
  text += fmt::format("set output {}\nset multiplot layout 1,{}\n", quoted(svg), panels.size());
  text += "set logscale xy\nset format y '%.0e'\nset grid lc '#dddddd'\nset key left top\n";
  for (std::size_t i = 0; i < panels.size(); ++i) text += plot_command(panels[i], static_cast<int>(i), lines);
  return text + "unset multiplot\n";
}

tl::expected<void, std::string> plot_sweep(const std::string& svg, const std::vector<ordered_json>& lines) {
  if (!std::ofstream(svg, std::ios::app)) return tl::unexpected(fmt::format("{}: cannot be written", svg));
  std::FILE* gnuplot = popen("exec gnuplot 2>/dev/null", "w");
  if (gnuplot == nullptr) return tl::unexpected(std::string("gnuplot cannot be started"));
  const std::string program = plot_program(svg, lines);
  const bool written = std::fwrite(program.data(), 1, program.size(), gnuplot) == program.size();
  const int status = pclose(gnuplot);
  if (written && status == 0) return {};
  return tl::unexpected(fmt::format("gnuplot could not draw {}: is the package gnuplot-nox installed?", svg));
}

}  // namespace shootdown::report
