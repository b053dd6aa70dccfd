#define _GNU_SOURCE
#include "service.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int ceralacca_notify(const char *path, const uint8_t *bytes, size_t count, int seconds) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length < 2 || length >= sizeof address.sun_path) return -EINVAL;
  memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = 0;
  int made = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (made < 0) return -errno;
  struct timeval limit = {.tv_sec = seconds};
  if (seconds > 0) setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  ssize_t sent = sendto(
      made, bytes, count, MSG_NOSIGNAL | (seconds > 0 ? 0 : MSG_DONTWAIT), (struct sockaddr *)&address,
      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
  int failure = sent < 0 ? -errno : (size_t)sent == count ? 0 : -EMSGSIZE;
  close(made);
  return failure;
}

int64_t ceralacca_monotonic_microseconds(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

int ceralacca_become_user(const char *name, const char **step) {
  struct passwd entry, *found = NULL;
  char room[16384];
  *step = "looking it up";
  int failure = getpwnam_r(name, &entry, room, sizeof room, &found);
  if (failure) return -failure;
  if (!found) return -ENOENT;
  *step = "taking its groups";
  if (initgroups(entry.pw_name, entry.pw_gid) != 0 || setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid) != 0) return -errno;
  *step = "becoming it";
  if (setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid) != 0) return -errno;
  // Who could go back has not become anybody else.
  *step = "staying it";
  if (entry.pw_uid != 0 && (setuid(0) == 0 || setgid(0) == 0)) return -EPERM;
  return 0;
}

int ceralacca_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : -errno; }

ptrdiff_t ceralacca_user_name(char *out, size_t room) {
  struct passwd entry, *found = NULL;
  char buffer[16384];
  int failure = getpwuid_r(geteuid(), &entry, buffer, sizeof buffer, &found);
  if (failure) return -failure;
  if (!found) return -ENOENT;
  size_t length = strlen(found->pw_name);
  if (length >= room) return -ERANGE;
  memcpy(out, found->pw_name, length + 1);
  return (ptrdiff_t)length;
}
