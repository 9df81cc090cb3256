// SPDX-License-Identifier: MIT
// The `time` command: runs a plan, writes text, JSON lines and plots, and goes on with a sweep that was cut off.
#include "cli/time.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include "cli/exit_code.hpp"
#include "cli/time_work.hpp"
#include "machine/timed/profile_toml.hpp"
#include "report/plot.hpp"
#include "report/sweep.hpp"

namespace shootdown::cli {

namespace {

using nlohmann::ordered_json;
using report::TimeResult;

int fail(std::ostream& err, const Refusal& refusal) {
  err << "shootdown: " << refusal.message << '\n';
  return refusal.exit_code;
}

/// The results so far, as JSON lines by job; what a sweep finds in its file and what it adds.
class Collected {
 public:
  explicit Collected(const TimePlan& plan)
      : plan_(plan), lines_(plan.jobs.size()), results_(plan.jobs.size()) {}

  void add(std::size_t job, std::vector<TimeResult> results) {
    for (const TimeResult& r : results) lines_[job].push_back(report::time_json(r));
    results_[job] = std::move(results);
  }
  bool complete(std::size_t job) const { return lines_[job].size() == plan_.jobs[job].cpus.size(); }
  const std::vector<ordered_json>& lines(std::size_t job) const { return lines_[job]; }

  /// Takes over what a former run of the same sweep left in `path`; a torn last line is forgotten.
  tl::expected<void, Refusal> take_over(const std::string& path) {
    if (!std::filesystem::is_regular_file(path)) return {};
    std::map<std::string, std::size_t> jobs = keys();
    std::ifstream file(path);
    unsigned line_number = 0;
    for (std::string line; std::getline(file, line);) {
      ++line_number;
      const ordered_json json = ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (json.is_discarded() && file.eof()) break;
      const auto found = json.is_object() ? jobs.find(report::time_key(json)) : jobs.end();
      if (found == jobs.end())
        return tl::unexpected(Refusal{
            exit_code::bad_input, fmt::format("{}:{}: not a result of this sweep; give another -o, or remove "
                                              "the file to begin again",
                                              path, line_number)});
      lines_[found->second].push_back(json);
      jobs.erase(found);
    }
    for (std::size_t job = 0; job < lines_.size(); ++job)
      if (!complete(job)) lines_[job].clear();  // cut off between two numbers of CPUs: cheap to do again
    return {};
  }

  std::vector<ordered_json> all_lines() const {
    std::vector<ordered_json> all;
    for (const auto& job : lines_) all.insert(all.end(), job.begin(), job.end());
    return all;
  }
  std::vector<TimeResult> all_results() const {
    std::vector<TimeResult> all;
    for (const auto& job : results_) all.insert(all.end(), job.begin(), job.end());
    return all;
  }

 private:
  /// The key of every result that the plan will give, and the job that gives it.
  std::map<std::string, std::size_t> keys() const {
    std::map<std::string, std::size_t> jobs;
    for (std::size_t job = 0; job < plan_.jobs.size(); ++job)
      for (unsigned cpus : plan_.jobs[job].cpus)
        jobs[report::time_key(report::time_json(
            scenario::describe_hot_remove(plan_.jobs[job].spec, plan_.priced_on(cpus))))] = job;
    return jobs;
  }

  const TimePlan& plan_;
  std::vector<std::vector<ordered_json>> lines_;
  std::vector<std::vector<TimeResult>> results_;
};

void write_lines(std::ostream& out, const std::vector<ordered_json>& lines) {
  for (const ordered_json& line : lines) out << line.dump() << '\n';
}

tl::unexpected<Refusal> cannot_write(const std::string& path) {
  return tl::unexpected(Refusal{exit_code::no_input, fmt::format("{}: cannot be written", path)});
}

/// Where the lines go while they come. A file is put in order at the end, in one step: whoever looks finds the old
/// lines or the new ones. A device or a pipe only gets what is new.
class LinesFile {
 public:
  explicit LinesFile(std::string path) : path_(std::move(path)) {
    std::error_code error;
    const auto type = std::filesystem::status(path_, error).type();
    is_file_ = type == std::filesystem::file_type::not_found || type == std::filesystem::file_type::regular;
  }

  tl::expected<void, Refusal> begin(const std::vector<ordered_json>& lines) {
    if (const auto replaced = replace(lines); !replaced) return replaced;
    out_.open(path_, std::ios::app);
    return add({});
  }
  tl::expected<void, Refusal> add(const std::vector<ordered_json>& lines) {
    write_lines(out_, lines);
    if (!out_.flush()) return cannot_write(path_);
    return {};
  }
  tl::expected<void, Refusal> replace(const std::vector<ordered_json>& lines) const {
    if (!is_file_) return {};
    const std::string next = path_ + ".new";
    std::ofstream file(next, std::ios::trunc);
    write_lines(file, lines);
    file.close();
    if (file && std::rename(next.c_str(), path_.c_str()) == 0) return {};
    std::remove(next.c_str());
    return cannot_write(path_);
  }

 private:
  std::string path_;
  bool is_file_ = true;
  std::ofstream out_;
};

/// Does the jobs that are still to do; each job's lines reach the file as soon as they are there.
tl::expected<void, Refusal> work_through(const TimePlan& plan, const TimeOptions& o, Collected& collected,
                                         std::ostream& err) {
  TimeWork work{plan, {}, o.progress ? &err : nullptr};
  for (std::size_t job = 0; job < plan.jobs.size(); ++job)
    if (!collected.complete(job)) work.todo.push_back(job);
  std::optional<LinesFile> file;
  if (!o.output.empty()) {
    file.emplace(o.output);
    if (const auto begun = file->begin(collected.all_lines()); !begun) return begun;
  }
  const auto done = do_time_work(
      work, [&](std::size_t job, std::vector<TimeResult> results) -> tl::expected<void, Refusal> {
        collected.add(job, std::move(results));
        if (file) return file->add(collected.lines(job));
        return {};
      });
  if (!done || !file) return done;
  return file->replace(collected.all_lines());
}

}  // namespace

int run_time(const TimeOptions& o, std::ostream& out, std::ostream& err) {
  const auto plan = make_time_plan(o);
  if (!plan) return fail(err, plan.error());
  Collected collected(*plan);
  if (plan->sweep && !o.output.empty())
    if (const auto taken = collected.take_over(o.output); !taken) return fail(err, taken.error());
  if (const auto worked = work_through(*plan, o, collected, err); !worked) return fail(err, worked.error());
  const std::vector<ordered_json> lines = collected.all_lines();
  if (!o.plot.empty())
    if (const auto plotted = report::plot_sweep(o.plot, lines); !plotted)
      return fail(err, {exit_code::unavailable, plotted.error()});
  if (o.format == "json")
    write_lines(out, lines);
  else if (plan->sweep)
    report::write_sweep_text(out, lines);
  else
    report::write_time_text(out, collected.all_results());
  return exit_code::holds;
}

}  // namespace shootdown::cli
