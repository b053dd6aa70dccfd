// What the kernel knows about its own clock.
#pragma once
#include <stdint.h>

/// The kernel's clocks at one moment, and what whoever keeps them right told it (adjtimex(2)).
struct ceralacca_clock {
  /// CLOCK_REALTIME and CLOCK_BOOTTIME, in microseconds.
  int64_t realtime;
  int64_t boottime;
  /// What of the offset is still to be slewed away, the estimated error and the maximum error, in microseconds.
  int64_t offset;
  int64_t estimated_error;
  int64_t maximum_error;
};

/// Reads the clocks, changing nothing. 0, or the negative errno; the first two fields are there all the same.
int ceralacca_read_clock(struct ceralacca_clock *out);
