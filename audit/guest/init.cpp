// SPDX-License-Identifier: MIT
// The guest's first and only program: makes the machine usable, runs the workload that the kernel command line
// names (shootdown.workload=NAME shootdown.memory=BYTES), and powers off.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "audit/guest/support.hpp"

namespace shootdown::guest {
namespace {

void mount_all() {
  struct Mount {
    const char* type;
    const char* target;
  };
  for (const Mount& m : std::array<Mount, 4>{
           {{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"}}}) {
    mkdir(m.target, 0755);
    mount(m.type, m.target, m.type, 0, nullptr);
  }
  const int console = open("/dev/console", O_RDWR);
  if (console < 0) return;
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(console, fd);
  if (console > STDERR_FILENO) close(console);
}

std::string option(const std::string& command_line, const std::string& name) {
  const std::size_t at = command_line.find(name);
  if (at == std::string::npos) return {};
  const std::size_t start = at + name.size();
  return command_line.substr(start, command_line.find_first_of(" \n", start) - start);
}

struct Job {
  const char* name;
  void (*run)(std::size_t bytes);
};

constexpr std::array<Job, 7> jobs{{
    {"hot-unplug", hot_unplug},
    {"fork-write-fault", fork_write_fault},
    {"munmap", munmap_tables},
    {"hugetlb", hugetlb},
    {"mprotect", mprotect_range},
    {"thp", transparent_huge_pages},
    {"user", [](std::size_t) { user_program(); }},
}};

void run() {
  mount_all();
  struct utsname name {};
  uname(&name);
  say("ready %s", name.release);
  const std::string command_line = read_file("/proc/cmdline");
  const std::string workload = option(command_line, "shootdown.workload=");
  const std::size_t bytes = std::strtoull(option(command_line, "shootdown.memory=").c_str(), nullptr, 10);
  for (const Job& job : jobs) {
    if (workload != job.name) continue;
    job.run(bytes);
    say("done");
    tcdrain(STDOUT_FILENO);
    reboot(RB_POWER_OFF);
  }
  die("no workload %s", workload.c_str());
}

}  // namespace
}  // namespace shootdown::guest

int main() { shootdown::guest::run(); }
