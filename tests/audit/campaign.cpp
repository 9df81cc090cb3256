// SPDX-License-Identifier: MIT
#include "tests/audit/campaign.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>

#include "audit/kernel/kallsyms.hpp"
#include "tests/audit/replay.hpp"

namespace shootdown::audit::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

/// A barrier may be missed by nobody because an interrupt happened to bring another: what the recorded run shows
/// to be needed is tried more than once.
constexpr unsigned attempts_max = 3;
/// A mutant's guest gets this much longer than the whole kernel's did.
constexpr double patience = 4;
constexpr unsigned timeout_s_min = 30;

std::string verdict_text(const Violation& v) {
  return fmt::format("{}, {}", shadow::name(v.harm), shadow::name(v.cause));
}

std::string last_line(std::string_view lines) {
  while (lines.ends_with('\n')) lines.remove_suffix(1);
  return std::string(lines.substr(lines.rfind('\n') + 1));
}

std::string store_kind(const Mutant& m) {
  if (m.clears >= m.sets && m.clears >= m.changes) return "store: clear";
  return m.sets >= m.changes ? "store: set" : "store: change";
}

/// Without a store the tables go on saying what they said: that is no matter of invalidation.
std::string why_harmless(const Mutant& m) {
  std::string text;
  auto add = [&](std::uint64_t n, const char* what) {
    if (n != 0) text += fmt::format("{}{} times {}", text.empty() ? "" : "; ", n, what);
  };
  add(m.clears, "the mapping stays live, and what is live is not stale");
  add(m.sets, "nothing gets mapped, and nothing can be stale");
  add(m.changes, "the old descriptor stays live, and is not stale");
  return text;
}

/// The whole kernel's run: once recorded, once replayed.
struct Sound {
  TraceReader trace;
  Replay replay;
  double seconds = 0;
};

Expected<Sound> sound_run(const Campaign& c, const fs::path& trace_path) {
  if (!fs::exists(trace_path)) {
    AuditRequest request = c.request;
    request.record = trace_path;
    auto result = audit_guest(request, [](std::string_view) {});
    if (!result) return tl::unexpected(result.error());
    if (result->stopped) return tl::unexpected(*result->stopped);
    if (!result->violations.empty())
      return fail(ExitCode::bad_data, "the unbroken kernel already shows {}", result->violations[0].title);
  }
  auto trace = TraceReader::open(trace_path);
  if (!trace) return tl::unexpected(trace.error());
  auto all = replay(*trace, 0);
  if (!all) return tl::unexpected(all.error());
  const double seconds = trace->trailer().seconds;
  return Sound{std::move(*trace), std::move(*all), seconds};
}

/// What the recorded run says about the instruction: its verdict without it, or the reason why there is none.
Expected<void> explain(const Sound& sound, const Mutant& m, CampaignRow& row) {
  if (m.kind == EventKind::store) {
    row.reason = why_harmless(m);
    return {};
  }
  auto without = replay(sound.trace, m.pc);
  if (!without) return tl::unexpected(without.error());
  if (!without->violations.empty()) row.predicted = verdict_text(without->violations[0]);
  row.reason = why_harmless(sound.replay, *without, m.pc);
  return {};
}

void judge_guest(const Expected<AuditResult>& result, CampaignRow& row) {
  const Error* error = !result ? &result.error() : result->stopped ? &*result->stopped : nullptr;
  if (result && !result->violations.empty()) {
    const Violation& v = result->violations[0];
    row.result = "caught";
    row.harm = shadow::name(v.harm);
    row.cause = shadow::name(v.cause);
    row.title = v.title;
    row.reason = error ? error->message : std::string();
  } else if (error) {
    row.result = "guest";
    const std::string line = last_line(error->details);
    row.reason = error->message + (line.empty() ? "" : "; last line: " + line);
  } else {
    row.result = row.reason.empty() ? "unexplained" : "harmless";
  }
}

std::map<std::uint64_t, CampaignRow> rows_so_far(const fs::path& path) {
  std::map<std::uint64_t, CampaignRow> rows;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto json = ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) continue;  // torn by an interrupt: done again
    CampaignRow row = row_from_json(json);
    rows[row.pc] = std::move(row);
  }
  return rows;
}

}  // namespace

ordered_json row_json(const CampaignRow& r) {
  return {{"operation", r.operation}, {"place", r.place},         {"caller", r.caller}, {"pc", r.pc},
          {"count", r.count},         {"result", r.result},       {"harm", r.harm},     {"cause", r.cause},
          {"title", r.title},         {"predicted", r.predicted}, {"reason", r.reason}};
}

CampaignRow row_from_json(const ordered_json& j) {
  auto text = [&](const char* key) { return j.value(key, std::string()); };
  return {.operation = text("operation"),
          .place = text("place"),
          .caller = text("caller"),
          .pc = j.value("pc", std::uint64_t{0}),
          .count = j.value("count", std::uint64_t{0}),
          .result = text("result"),
          .harm = text("harm"),
          .cause = text("cause"),
          .title = text("title"),
          .predicted = text("predicted"),
          .reason = text("reason")};
}

void write_markdown(std::ostream& out, const std::vector<CampaignRow>& rows) {
  out << "| instruction | in | executed | result |\n|---|---|---|---|\n";
  for (const CampaignRow& r : rows) {
    std::string result = r.result == "caught" ? fmt::format("**{}, {}**", r.harm, r.cause) : r.result;
    if (!r.reason.empty()) result += ": " + r.reason;
    if (r.result == "unexplained" && !r.predicted.empty()) result += "; predicted " + r.predicted;
    std::ranges::replace(result, '|', '/');
    out << fmt::format("| {} | `{}` < `{}` | {} | {} |\n", r.operation, r.place.substr(0, r.place.find('/')),
                       r.caller, r.count, result);
  }
}

Expected<std::vector<CampaignRow>> run_campaign(const Campaign& c) {
  const fs::path trace_path = c.folder / "sound.trc";
  auto sound = sound_run(c, trace_path);
  if (!sound) return tl::unexpected(sound.error());
  auto mutants = mutants_of(trace_path);
  auto kernel = find_kernel(c.request.kernel, [](std::string_view) {});
  if (!mutants) return tl::unexpected(mutants.error());
  if (!kernel) return tl::unexpected(kernel.error());
  auto image = load_image(kernel->image);
  if (!image) return tl::unexpected(image.error());
  auto kallsyms = read_kallsyms(*image);
  if (!kallsyms) return tl::unexpected(kallsyms.error());

  auto done = rows_so_far(c.rows);
  std::ofstream file(c.rows, std::ios::app);
  std::vector<CampaignRow> rows;
  std::size_t number = 0;
  for (const Mutant& m : *mutants) {
    ++number;
    if (const auto it = done.find(m.pc); it != done.end()) {
      rows.push_back(it->second);
      continue;
    }
    CampaignRow row{.operation = m.kind == EventKind::store ? store_kind(m) : m.operation,
                    .place = m.place,
                    .caller = m.caller,
                    .pc = m.pc,
                    .count = m.count};
    if (auto explained = explain(*sound, m, row); !explained) return tl::unexpected(explained.error());
    AuditRequest request = c.request;
    request.kernel = (c.folder / "broken.image").string();
    request.modules_dir = kernel->modules_dir;
    request.timeout_s = std::max(timeout_s_min, static_cast<unsigned>(patience * sound->seconds));
    if (auto written = write_broken_image(*image, kallsyms->base, m.pc, request.kernel); !written)
      return tl::unexpected(written.error());
    for (unsigned attempt = 0; row.result.empty() || (row.result == "unexplained" && attempt < attempts_max);
         ++attempt) {
      const auto result = audit_guest(request, [](std::string_view) {});
      if (result && result->stopped && result->stopped->code == ExitCode::interrupted)
        return tl::unexpected(*result->stopped);
      judge_guest(result, row);
    }
    c.tell(fmt::format("{} of {}: {} in {}: {} {}", number, mutants->size(), row.operation, row.place,
                       row.result, row.harm.empty() ? row.reason : row.harm + ", " + row.cause));
    file << row_json(row).dump() << std::endl;
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace shootdown::audit::test
