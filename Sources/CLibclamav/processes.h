// What the scanner's processes ask of the system: children's ends, a thread of little weight, folders that may hold anything.
#pragma once
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/// From now on the end of a child makes this descriptor readable, and does nothing else. The negative errno on failure.
static inline int ceralacca_child_watch(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  // A disposition that was inherited as "ignore" would take the statuses away.
  signal(SIGCHLD, SIG_DFL);
  if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) return -errno;
  int watch = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  return watch < 0 ? -errno : watch;
}

/// A crash ends the process at once: Swift's own handlers would first try to start a debugger, which a confined process may not.
static inline void ceralacca_die_of_crashes(void) {
  static const int crashes[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGQUIT, SIGSEGV, SIGSYS, SIGTRAP};
  for (size_t at = 0; at < sizeof crashes / sizeof *crashes; at++) signal(crashes[at], SIG_DFL);
}

/// In a child: signals are as they were before the watch.
static inline void ceralacca_unblock_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/// Waits until a packet (or the end) is there on `channel`, or a child has ended. Bits: 1 for the channel, 2 for the children; the
/// negative errno on failure.
static inline int ceralacca_wait_for_news(int channel, int watch) {
  struct pollfd both[2] = {{.fd = channel, .events = POLLIN}, {.fd = watch, .events = POLLIN}};
  while (poll(both, 2, -1) < 0)
    if (errno != EINTR) return -errno;
  struct signalfd_siginfo drain[8];
  // Signals of the same kind become one: who ended is asked of wait, not of them.
  if (both[1].revents)
    while (read(watch, drain, sizeof drain) > 0) {
    }
  return (both[0].revents ? 1 : 0) | (both[1].revents ? 2 : 0);
}

/// Takes a child that has ended: its id, 0 when there is none. `waits` blocks until `child` has; else any child is taken.
static inline pid_t ceralacca_reap(pid_t child, int waits, int *status) {
  pid_t taken;
  do taken = waitpid(waits ? child : -1, status, waits ? 0 : WNOHANG);
  while (taken < 0 && errno == EINTR);
  return taken < 0 ? 0 : taken;
}

typedef struct {
  void (*body)(void *);
  void *context;
} ceralacca_aside;

static inline void *ceralacca_run_nice(void *raw) {
  ceralacca_aside *aside = (ceralacca_aside *)raw;
  // Of this thread alone, and for good: a process could not take the weight back.
  setpriority(PRIO_PROCESS, 0, 19);
  aside->body(aside->context);
  return NULL;
}

/// Runs `body` in a thread of its own that gives way to everybody, and waits for its end. 0, or the errno of making the thread.
static inline int ceralacca_run_aside(void (*body)(void *), void *context) {
  ceralacca_aside aside = {body, context};
  pthread_t thread;
  int code = pthread_create(&thread, NULL, ceralacca_run_nice, &aside);
  return code ? code : pthread_join(thread, NULL);
}

/// Removes what is in the folder that is open as `folder` and closes it. No link is followed: a worker that was taken over may have made
/// the folder's contents. What lies deeper than `depth` folders stays.
static inline void ceralacca_empty_folder(int folder, int depth) {
  DIR *entries = folder < 0 ? NULL : fdopendir(folder);
  if (!entries) {
    if (folder >= 0) close(folder);
    return;
  }
  struct dirent *entry;
  while ((entry = readdir(entries))) {
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (unlinkat(dirfd(entries), name, 0) == 0 || (errno != EISDIR && errno != EPERM)) continue;
    if (depth > 0) {
      int inner = openat(dirfd(entries), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      ceralacca_empty_folder(inner, depth - 1);
    }
    unlinkat(dirfd(entries), name, AT_REMOVEDIR);
  }
  closedir(entries);
}

/// Removes a folder with all that is in it, as far as that goes: 0, or the errno of removing the folder itself.
static inline int ceralacca_remove_folder(const char *path) {
  ceralacca_empty_folder(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), 60);
  return rmdir(path) == 0 || errno == ENOENT ? 0 : errno;
}

/// Makes a folder with a name of its own below `parent`, for `user` (NULL: "nobody") when this process is root. Its path, to be freed,
/// or NULL with errno.
static inline char *ceralacca_make_folder(const char *parent, const char *user) {
  char *path = NULL;
  if (asprintf(&path, "%s/ceralacca-self-test-XXXXXX", parent) < 0) return NULL;
  if (!mkdtemp(path)) {
    free(path);
    return NULL;
  }
  struct passwd *owner = geteuid() == 0 ? getpwnam(user ? user : "nobody") : NULL;
  if (owner && chown(path, owner->pw_uid, owner->pw_gid) != 0) {
    int code = errno;
    rmdir(path);
    free(path);
    errno = code;
    return NULL;
  }
  return path;
}

/// The octets of an open file, -1 when they cannot be had.
static inline long long ceralacca_file_bytes(int descriptor) {
  struct stat status;
  return descriptor >= 0 && fstat(descriptor, &status) == 0 ? (long long)status.st_size : -1;
}

/// A line on the standard error output.
static inline void ceralacca_complain(const char *line) { dprintf(2, "ceralacca-scanner: %s\n", line); }
