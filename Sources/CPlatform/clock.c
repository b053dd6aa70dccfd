#define _GNU_SOURCE
#include "clock.h"

#include <errno.h>
#include <sys/timex.h>
#include <time.h>

static int64_t microseconds(clockid_t clock) {
  struct timespec at = {0};
  clock_gettime(clock, &at);
  return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

int ceralacca_read_clock(struct ceralacca_clock *out) {
  *out = (struct ceralacca_clock){0};
  // The two are read side by side; a look that was interrupted between them is taken again, so that it does not seem a step.
  for (int attempt = 0; attempt < 8; attempt++) {
    int64_t before = microseconds(CLOCK_BOOTTIME);
    out->realtime = microseconds(CLOCK_REALTIME);
    out->boottime = microseconds(CLOCK_BOOTTIME);
    if (out->boottime - before < 1000) break;
  }
  struct timex kernel = {0};
  if (adjtimex(&kernel) < 0) return -errno;
  out->offset = kernel.status & STA_NANO ? kernel.offset / 1000 : kernel.offset;
  out->estimated_error = kernel.esterror;
  out->maximum_error = kernel.maxerror;
  return 0;
}
