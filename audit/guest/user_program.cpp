// SPDX-License-Identifier: MIT
// The user's own script or static program, /workload in the initramfs. Its exit code decides the run's.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "audit/guest/support.hpp"

namespace shootdown::guest {

void user_program() {
  // Scripts find the usual commands if a busybox was packed.
  if (access("/bin/busybox", X_OK) == 0 && std::system("/bin/busybox --install -s /bin") != 0)
    die("busybox failed");
  setenv("PATH", "/bin", 1);
  window_begin();
  const pid_t child = fork();
  if (child == 0) {
    execl("/workload", "/workload", nullptr);
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) die("cannot start the workload");
  window_end();
  if (WIFSIGNALED(status)) die("the workload was ended by signal %d", WTERMSIG(status));
  if (WEXITSTATUS(status) == 127)
    die("the workload cannot be executed: a script or a static AArch64 program is needed");
  if (WEXITSTATUS(status) != 0) die("the workload ended with exit code %d", WEXITSTATUS(status));
}

}  // namespace shootdown::guest
