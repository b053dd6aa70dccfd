#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/// /proc/self/statm of the parent, opened before Landlock shuts /proc: how large it is can be read at each fork.
static int parent_size_file = -1;
/// Noted by ceralacca_fork for the child.
static pid_t forking_parent = 0;
static uint64_t forking_parent_bytes = 0;

int confinement_fails(ceralacca_confinement_fault *fault, int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(fault->step, sizeof fault->step, format, arguments);
  va_end(arguments);
  fault->code = code;
  return -1;
}

int ceralacca_has_seccomp(void) {
  uint32_t action = SECCOMP_RET_ERRNO;
  return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/// The address space's octets, from the file that was opened; 0 when they cannot be had.
static uint64_t parent_bytes(void) {
  char text[128];
  ssize_t count = parent_size_file < 0 ? -1 : pread(parent_size_file, text, sizeof text - 1, 0);
  if (count <= 0) return 0;
  text[count] = 0;
  return strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

pid_t ceralacca_fork(void) {
  pid_t parent = getpid();
  uint64_t bytes = parent_bytes();
  pid_t child = fork();
  if (child == 0) {
    forking_parent = parent;
    forking_parent_bytes = bytes;
  }
  return child;
}

/// Becomes the user, with nobody's groups but their own: 0 or -1. Does nothing to a process that is not root.
static int leave_root(const char *name, ceralacca_confinement_fault *fault) {
  uid_t real, effective, saved;
  if (getresuid(&real, &effective, &saved) != 0) return confinement_fails(fault, errno, "asking for the user");
  if (real != 0 && effective != 0 && saved != 0) return 0;
  const char *user = name ? name : "nobody";
  errno = 0;
  struct passwd *entry = getpwnam(user);
  if (!entry) return confinement_fails(fault, errno, "there is no user %s", user);
  if (entry->pw_uid == 0) return confinement_fails(fault, 0, "the user %s is root under another name", user);
  uid_t id = entry->pw_uid;
  gid_t group = entry->pw_gid;
  if (initgroups(user, group) != 0) return confinement_fails(fault, errno, "taking the groups of %s", user);
  if (setresgid(group, group, group) != 0) return confinement_fails(fault, errno, "taking the group of %s", user);
  if (setresuid(id, id, id) != 0) return confinement_fails(fault, errno, "becoming %s", user);
  if (setuid(0) == 0) return confinement_fails(fault, 0, "root does not go away");
  return 0;
}

/// Gives up every capability: an ordinary user may have been given some by whoever started the gateway (to bind port 25).
static int drop_capabilities(ceralacca_confinement_fault *fault) {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return confinement_fails(fault, errno, "clearing capabilities");
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[2] = {{0}, {0}};
  if (syscall(SYS_capset, &header, none) != 0) return confinement_fails(fault, errno, "giving up capabilities");
  return 0;
}

static int set_limit(int resource, uint64_t value, const char *name, ceralacca_confinement_fault *fault) {
  struct rlimit limit;
  if (getrlimit(resource, &limit) != 0) return confinement_fails(fault, errno, "asking for the limit of %s", name);
  // Never up: that would be a privilege.
  if (limit.rlim_max == RLIM_INFINITY || value < limit.rlim_max) limit.rlim_max = value;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(resource, &limit) != 0) return confinement_fails(fault, errno, "limiting %s", name);
  return 0;
}

/// The process's threads; 0 when they cannot be counted.
static unsigned long count_threads(void) {
  struct stat status;
  unsigned long threads = 0;
  // A thread that was just joined may be seen for an instant.
  for (int tries = 0; tries < 1000; tries++) {
    threads = stat("/proc/self/task", &status) == 0 && status.st_nlink > 2 ? (unsigned long)status.st_nlink - 2 : 0;
    if (threads < 2) break;
    sched_yield();
  }
  return threads;
}

int ceralacca_confine_parent(const ceralacca_confinement *plan, ceralacca_confinement_fault *fault) {
  if (count_threads() != 1) return confinement_fails(fault, 0, "there is more than one thread, and only this one would be confined");
  parent_size_file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (parent_bytes() == 0) return confinement_fails(fault, errno, "reading /proc/self/statm");
  if (leave_root(plan->user, fault) != 0 || drop_capabilities(fault) != 0) return -1;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return confinement_fails(fault, errno, "refusing new privileges");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return confinement_fails(fault, errno, "refusing debuggers");
  // After the change of user, which clears it.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return confinement_fails(fault, errno, "binding to the gateway's life");
  if (set_limit(RLIMIT_CORE, 0, "core files", fault) != 0) return -1;
  if (confinement_restrict_paths(plan, 0, fault) != 0) return -1;
  return confinement_restrict_calls(0, fault);
}

/// Closes all descriptors but the plan's and 0, 1 and 2.
static int close_others(const ceralacca_confinement *plan, ceralacca_confinement_fault *fault) {
  unsigned from = 3;
  for (;;) {
    // The next one that is kept.
    unsigned next = ~0U;
    for (size_t at = 0; at < plan->descriptor_count; at++) {
      unsigned kept = (unsigned)plan->descriptors[at];
      if (kept >= from && kept < next) next = kept;
    }
    if (next > from && syscall(SYS_close_range, from, next == ~0U ? ~0U : next - 1, 0) != 0)
      return confinement_fails(fault, errno, "closing descriptors");
    if (next == ~0U) return 0;
    from = next + 1;
  }
}

static int limit_worker(const ceralacca_confinement *plan, ceralacca_confinement_fault *fault) {
  // A file that gets too large is an error of the write, not the end of the worker.
  if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR) return confinement_fails(fault, errno, "ignoring SIGXFSZ");
  if (set_limit(RLIMIT_AS, forking_parent_bytes + plan->memory_bytes, "memory", fault) != 0) return -1;
  if (set_limit(RLIMIT_FSIZE, plan->file_bytes, "files' size", fault) != 0) return -1;
  if (set_limit(RLIMIT_NOFILE, 256, "open files", fault) != 0) return -1;
  if (set_limit(RLIMIT_CORE, 0, "core files", fault) != 0) return -1;
  return set_limit(RLIMIT_NPROC, 0, "processes", fault);
}

int ceralacca_confine_worker(const ceralacca_confinement *plan, ceralacca_confinement_fault *fault) {
  if (forking_parent == 0) return confinement_fails(fault, 0, "a worker is forked by Confinement.fork");
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2 || geteuid() == 0)
    return confinement_fails(fault, 0, "the worker's parent is not confined");
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return confinement_fails(fault, errno, "binding to the parent's life");
  // It may have ended before that was said.
  if (getppid() != forking_parent) return confinement_fails(fault, 0, "the worker's parent is gone");
  if (forking_parent_bytes == 0) return confinement_fails(fault, 0, "the parent's size is not known");
  if (close_others(plan, fault) != 0 || limit_worker(plan, fault) != 0) return -1;
  if (confinement_restrict_paths(plan, 1, fault) != 0) return -1;
  return confinement_restrict_calls(1, fault);
}
