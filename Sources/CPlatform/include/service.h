// What passes between a service and whoever started it (sd_notify(3), sd_listen_fds(3)), and who a process is.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// Sends one datagram to the Unix socket at `path`; '@' at its beginning stands for the abstract namespace. Waits at the most
/// `seconds` while the other side does not read. 0, or the negative errno.
int ceralacca_notify(const char *path, const uint8_t *bytes, size_t count, int seconds);
/// CLOCK_MONOTONIC in microseconds.
int64_t ceralacca_monotonic_microseconds(void);
/// Makes this process the user `name` with that user's groups, for good: real, effective and saved. The step that failed is in `step`. 0, or
/// the negative errno; ENOENT: there is no such user. Call it before there is a second thread.
int ceralacca_become_user(const char *name, const char **step);
/// No program that this process starts can gain privileges (PR_SET_NO_NEW_PRIVS). 0, or the negative errno.
int ceralacca_no_new_privileges(void);
/// The name of the user that this process is. The length written, or the negative errno.
ptrdiff_t ceralacca_user_name(char *out, size_t room);
