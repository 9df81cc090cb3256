/* SPDX-License-Identifier: MIT
 * Linked into a pan: prints the processor time and the largest resident size of the run, as the explorer's
 * benchmark measures its own.
 */
#include <stdio.h>
#include <sys/resource.h>

__attribute__((destructor)) static void report(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  printf("cpu_us %ld\n", (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000L + u.ru_utime.tv_usec + u.ru_stime.tv_usec);
  printf("peak_kib %ld\n", u.ru_maxrss);
}
