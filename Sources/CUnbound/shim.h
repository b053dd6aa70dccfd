// libunbound. Its interface is plain C; what is here gives its results another form, because Swift cannot import macros and enums of it
// as numbers everywhere.
#pragma once
#include <stddef.h>
#include <unbound.h>

/// The RDATA at `index`, its length in `*count`; NULL behind the last one.
static inline const void *ceralacca_unbound_record(const struct ub_result *result, int index, int *count) {
  if (!result->havedata || !result->data || !result->data[index]) return NULL;
  *count = result->len[index];
  return result->data[index];
}
