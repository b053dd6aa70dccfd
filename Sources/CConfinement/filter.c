#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

// What a call gets that is on no list. The tests build this file with a deadly one, to learn whether anything needed is refused.
#ifndef CERALACCA_REFUSAL
#define CERALACCA_REFUSAL SCMP_ACT_ERRNO(EPERM)
#endif

/// What both roles may do: memory, files that Landlock lets them open, descriptors they have, clocks, waiting.
/// Not here, for Landlock does not hold them back: chmod, chown, utime, truncate by path, extended attributes, chdir, links.
static const int common_calls[] = {
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(preadv),
    SCMP_SYS(pwritev), SCMP_SYS(lseek), SCMP_SYS(_llseek), SCMP_SYS(close), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3),
    SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
    SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64),
    SCMP_SYS(getcwd), SCMP_SYS(umask), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(fadvise64),
    SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rename), SCMP_SYS(renameat),
    SCMP_SYS(renameat2), SCMP_SYS(ftruncate), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
    SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(msync), SCMP_SYS(mincore),
    SCMP_SYS(futex), SCMP_SYS(membarrier), SCMP_SYS(rseq), SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list), SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group),
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday),
    SCMP_SYS(time), SCMP_SYS(times), SCMP_SYS(getrusage), SCMP_SYS(getrlimit), SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(getcpu),
    SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
    SCMP_SYS(getegid), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
    SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigtimedwait), SCMP_SYS(rt_sigsuspend),
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(recvfrom),
    SCMP_SYS(shutdown), SCMP_SYS(getsockopt),
};

/// What only the parent may do: threads, workers, and shutting these in further. It meets no message.
static const int parent_calls[] = {
    SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(set_tid_address), SCMP_SYS(arch_prctl),
    SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(sched_get_priority_max),
    SCMP_SYS(sched_get_priority_min), SCMP_SYS(getpriority), SCMP_SYS(getgroups), SCMP_SYS(getresuid), SCMP_SYS(getresgid),
    SCMP_SYS(close_range), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(eventfd2), SCMP_SYS(signalfd4), SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(memfd_create), SCMP_SYS(fallocate),
    SCMP_SYS(seccomp), SCMP_SYS(landlock_create_ruleset), SCMP_SYS(landlock_add_rule), SCMP_SYS(landlock_restrict_self),
};

/// Harmless uses of fcntl. Not among them: locks, leases, signals for others (F_SETOWN).
static const int fcntl_commands[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_ADD_SEALS, F_GET_SEALS};

/// Harmless uses of prctl for a worker, and what the parent's workers need on their way in.
static const int worker_prctl[] = {PR_SET_NAME, PR_GET_NAME};
static const int parent_prctl[] = {
    PR_SET_NAME, PR_GET_NAME, PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP, PR_GET_DUMPABLE,
};

/// Namespaces (and tracing) that clone(2) would make.
#define FORBIDDEN_CLONES                                                                                                        \
  (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_PTRACE)

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ALLOW(filter, call, ...) seccomp_rule_add_array((filter), SCMP_ACT_ALLOW, SCMP_SYS(call), RULES(__VA_ARGS__))
#define RULES(...) COUNT(((struct scmp_arg_cmp[]){__VA_ARGS__})), (struct scmp_arg_cmp[]){__VA_ARGS__}

static int allow_all(scmp_filter_ctx filter, const int *calls, size_t count) {
  for (size_t at = 0; at < count; at++) {
    int code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[at], 0);
    if (code != 0) return code;
  }
  return 0;
}

/// Allows a call whose argument of that number is one of the values.
static int allow_values(scmp_filter_ctx filter, int call, unsigned argument, const int *values, size_t count) {
  for (size_t at = 0; at < count; at++) {
    int code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, SCMP_CMP(argument, SCMP_CMP_EQ, (scmp_datum_t)values[at]));
    if (code != 0) return code;
  }
  return 0;
}

static int add_common(scmp_filter_ctx filter) {
  int code = allow_all(filter, common_calls, COUNT(common_calls));
  if (code == 0) code = allow_values(filter, SCMP_SYS(fcntl), 1, fcntl_commands, COUNT(fcntl_commands));
  // send(2): to where the socket is connected, and nowhere else.
  if (code == 0) code = ALLOW(filter, sendto, SCMP_A4(SCMP_CMP_EQ, 0));
  // Asked by libraries that get on without: a terminal (ioctl), the modes of a folder that is ours anyway.
  if (code == 0) code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(ioctl), 0);
  if (code == 0) code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(chmod), 0);
  if (code == 0) code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(fchmodat), 0);
  // Its flags lie in memory, where no filter sees them: the C library goes on with clone.
  if (code == 0) code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  return code;
}

static int add_parent(scmp_filter_ctx filter) {
  int code = allow_all(filter, parent_calls, COUNT(parent_calls));
  if (code == 0) code = ALLOW(filter, clone, SCMP_A0(SCMP_CMP_MASKED_EQ, FORBIDDEN_CLONES, 0));
  if (code == 0) code = allow_values(filter, SCMP_SYS(prctl), 0, parent_prctl, COUNT(parent_prctl));
  if (code == 0) code = ALLOW(filter, prctl, SCMP_A0(SCMP_CMP_EQ, PR_SET_DUMPABLE), SCMP_A1(SCMP_CMP_EQ, 0));
  // Its own limits only, and its own threads' weight.
  if (code == 0) code = ALLOW(filter, prlimit64, SCMP_A0(SCMP_CMP_EQ, 0));
  if (code == 0) code = ALLOW(filter, setpriority, SCMP_A0(SCMP_CMP_EQ, PRIO_PROCESS));
  // One process each: never all of them, never a group. Landlock keeps it to the workers where the kernel can (ABI 6).
  if (code == 0) code = ALLOW(filter, kill, SCMP_A0(SCMP_CMP_MASKED_EQ, 0xFFFFFFFF80000000ULL, 0));
  if (code == 0) code = ALLOW(filter, tgkill, SCMP_A0(SCMP_CMP_MASKED_EQ, 0xFFFFFFFF80000000ULL, 0));
  return code;
}

static int add_worker(scmp_filter_ctx filter) {
  int code = ALLOW(filter, mmap, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  if (code == 0) code = ALLOW(filter, mprotect, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  if (code == 0) code = allow_values(filter, SCMP_SYS(prctl), 0, worker_prctl, COUNT(worker_prctl));
  // Asking, not setting.
  if (code == 0) code = ALLOW(filter, prlimit64, SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0));
  // abort(3), and nobody else's threads.
  if (code == 0) code = ALLOW(filter, tgkill, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
  return code;
}

int confinement_restrict_calls(int is_worker, ceralacca_confinement_fault *fault) {
  if (!ceralacca_has_seccomp()) return confinement_fails(fault, 0, "this kernel has no seccomp filters");
  scmp_filter_ctx filter = seccomp_init(CERALACCA_REFUSAL);
  if (!filter) return confinement_fails(fault, ENOMEM, "making a seccomp filter");
  // Calls of another architecture (32 bit, x32) are numbered differently: whoever makes one is up to no good.
  int code = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  // A tree instead of a list: the engine's many small writes pay for each comparison.
  if (code == 0) code = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (code == 0) code = add_common(filter);
  if (code == 0) code = is_worker ? add_worker(filter) : add_parent(filter);
  if (code == 0) code = seccomp_load(filter);
  seccomp_release(filter);
  return code == 0 ? 0 : confinement_fails(fault, -code, "restricting system calls with seccomp");
}
