// SPDX-License-Identifier: MIT
// The command line: which commands there are, and what becomes of a line that is none of them. What a command
// does is in its own file.
#include <cstdlib>
#include <exception>
#include <iostream>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/commands.hpp"
#include "cli/main_job.hpp"
#include "cli/suggest.hpp"
#include "explore/build_id.hpp"

namespace {

using shootdown::cli::Session;
namespace exit_code = shootdown::cli::exit_code;

/// The first argument is to be a command: its name is what people mistype.
std::string misnamed_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return {};
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  if (std::find(names.begin(), names.end(), argv[1]) != names.end()) return {};
  return shootdown::cli::unknown_name("command", argv[1], names);
}

int run(CLI::App& app, Session& session, int argc, char** argv) {
  if (const std::string message = misnamed_command(app, argc, argv); !message.empty()) {
    session.fail({exit_code::usage, message});
    return session.exit_code;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {  // --help, --version
    app.exit(e, session.out, session.err);
    return exit_code::holds;
  } catch (const CLI::ParseError& e) {
    session.fail({exit_code::usage, std::string(e.what()) + " (--help shows what there is)"});
    return session.exit_code;
  }
  if (app.get_subcommands().empty()) return shootdown::cli::run_main_job(session);
  return session.exit_code;
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app{
      "Shootdown: are changes of live arm64 page tables safe, and what do they cost?\n"
      "Without a command: memory hot-remove with every strategy, on one screen."};
  app.name("shootdown");
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", fmt::format("shootdown, sources {}", shootdown::build_fingerprint()));
  Session session{.out = std::cout, .err = std::cerr};
  const char* no_colour = std::getenv("NO_COLOR");
  session.colour = isatty(STDOUT_FILENO) != 0 && (no_colour == nullptr || *no_colour == '\0');
  session.progress = isatty(STDERR_FILENO) != 0;
  shootdown::cli::add_commands(app, session);
  const int code = run(app, session, argc, argv);
  if (std::cout.flush()) return code;
  std::cerr << "shootdown: standard output: cannot be written\n";
  return exit_code::no_input;
} catch (const std::exception& e) {
  std::cerr << "shootdown: internal error: " << e.what() << '\n';
  return exit_code::internal;
}
