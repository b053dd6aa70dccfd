#define _GNU_SOURCE
#include "CConfinement.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

// Every thing is tried with arguments that do no harm where it is allowed, and that fail there with another errno than a refusal's,
// as far as there are such. What only root may do is refused to an ordinary user without any filter: as good a refusal.

/// 0 or an errno.
static int answer(long result) { return result < 0 ? errno : 0; }

static int opened(int descriptor) {
  if (descriptor < 0) return errno;
  close(descriptor);
  return 0;
}

static int make_file(const char *folder) {
  char path[64];
  snprintf(path, sizeof path, "%s/ceralacca-probe-%d", folder, (int)getpid());
  int code = opened(open(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
  if (code == 0) unlink(path);
  return code;
}

static int open_socket(int family, int type) { return opened(socket(family, type, 0)); }

static int socket_pair(void) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return errno;
  close(ends[0]);
  close(ends[1]);
  return 0;
}

static int start_process(void) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  if (child < 0) return errno;
  waitpid(child, NULL, 0);
  return 0;
}

static void *no_work(void *context) { return context; }

static int start_thread(void) {
  pthread_t thread;
  int code = pthread_create(&thread, NULL, no_work, NULL);
  if (code == 0) pthread_join(thread, NULL);
  return code;
}

static int run_program(void) {
  // There is no such program: without a filter ENOENT.
  char *none[] = {NULL};
  return answer(execve("", none, none));
}

static int map_code(void) {
  void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) return errno;
  munmap(code, 4096);
  return 0;
}

static int turn_into_code(void) {
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  // Memory that is not to be had says nothing about code.
  if (page == MAP_FAILED) return ENOMEM;
  int code = answer(mprotect(page, 4096, PROT_READ | PROT_EXEC));
  munmap(page, 4096);
  return code;
}

static int raise_limit(void) {
  struct rlimit limit = {.rlim_cur = 256, .rlim_max = 256};
  return answer(setrlimit(RLIMIT_NOFILE, &limit));
}

static int read_parent(void) { return answer(process_vm_readv(getppid(), NULL, 0, NULL, 0, 0)); }

#define EVERY(X)                                                                                                                    \
  X("open the key file", 0, opened(open(key, O_RDONLY | O_CLOEXEC)))                                                                \
  X("write the key file", 0, opened(open(key, O_WRONLY | O_CLOEXEC)))                                                               \
  X("open /etc/passwd", 0, opened(open("/etc/passwd", O_RDONLY | O_CLOEXEC)))                                                       \
  X("list /etc", 0, opened(open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC)))                                                       \
  X("list /", 0, opened(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)))                                                             \
  X("list /proc", 0, opened(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC)))                                                     \
  X("open its own memory in /proc", 0, opened(open("/proc/self/mem", O_RDWR | O_CLOEXEC)))                                          \
  X("open a device", 0, opened(open("/dev/zero", O_RDONLY | O_CLOEXEC)))                                                            \
  X("make a file in /tmp", 0, make_file("/tmp"))                                                                                    \
  X("make a file in /dev/shm", 0, make_file("/dev/shm"))                                                                            \
  X("change a file's mode", 0, answer(chmod("", 0644)))                                                                             \
  X("open an Internet socket (TCP)", 0, open_socket(AF_INET, SOCK_STREAM))                                                          \
  X("open an Internet socket (UDP)", 0, open_socket(AF_INET, SOCK_DGRAM))                                                           \
  X("open an Internet socket (IPv6)", 0, open_socket(AF_INET6, SOCK_STREAM))                                                        \
  X("open a Unix socket", 0, open_socket(AF_UNIX, SOCK_STREAM))                                                                     \
  X("open a netlink socket", 0, open_socket(AF_NETLINK, SOCK_RAW))                                                                  \
  X("open a socket of the kernel's cryptography", 0, open_socket(AF_ALG, SOCK_SEQPACKET))                                           \
  X("open a socket to the host (vsock)", 0, open_socket(AF_VSOCK, SOCK_STREAM))                                                     \
  X("open a pair of sockets", 0, socket_pair())                                                                                     \
  X("connect", 0, answer(connect(-1, NULL, 0)))                                                                                     \
  X("bind", 0, answer(bind(-1, NULL, 0)))                                                                                           \
  X("listen", 0, answer(listen(-1, 1)))                                                                                             \
  X("accept", 0, answer(accept4(-1, NULL, NULL, 0)))                                                                                \
  X("send to an address", 0, answer(sendto(-1, "", 0, 0, (struct sockaddr *)(void *)&(struct sockaddr_storage){.ss_family = 2}, 16))) \
  X("run a program", 0, run_program())                                                                                              \
  X("run a program by its descriptor", 0, answer(syscall(SYS_execveat, -1, "", NULL, NULL, 0)))                                     \
  X("start a process", 1, start_process())                                                                                          \
  X("start a thread", 1, start_thread())                                                                                            \
  X("map memory as code", 1, map_code())                                                                                            \
  X("turn memory into code", 1, turn_into_code())                                                                                   \
  X("signal its parent", 1, answer(kill(getppid(), 0)))                                                                             \
  X("signal every process", 0, answer(kill(-1, 0)))                                                                                 \
  X("signal its parent's thread", 1, answer(syscall(SYS_tgkill, getppid(), getppid(), 0)))                                          \
  X("trace a process", 0, answer(ptrace(PTRACE_PEEKDATA, -1, NULL, NULL)))                                                          \
  X("read its parent's memory", 0, read_parent())                                                                                   \
  X("take another's descriptor", 0, answer(syscall(SYS_pidfd_getfd, -1, 0, 0)))                                                     \
  X("raise a limit", 1, raise_limit())                                                                                              \
  X("be open to debuggers again", 0, answer(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)))                                                    \
  X("become root", 0, answer(setuid(0)))                                                                                            \
  X("type into the terminal", 0, answer(ioctl(-1, TIOCSTI, "")))                                                                    \
  X("mount", 0, answer(mount("", "/", "", 0, NULL)))                                                                                \
  X("change the root folder", 0, answer(chroot("")))                                                                                \
  X("pivot the root folder", 0, answer(syscall(SYS_pivot_root, "", "")))                                                            \
  X("make a namespace", 0, answer(unshare(CLONE_NEWUSER | 1)))                                                                      \
  X("enter a namespace", 0, answer(setns(-1, 0)))                                                                                   \
  X("make a namespace by clone", 0, answer(syscall(SYS_clone, CLONE_NEWUSER | CLONE_FS, NULL, NULL, NULL, NULL)))                   \
  X("make a namespace by clone3", 0, answer(syscall(SYS_clone3, NULL, 0)))                                                          \
  X("change its personality", 0, answer(personality(0xffffffff)))                                                                   \
  X("load a BPF program", 0, answer(syscall(SYS_bpf, -1, NULL, 0)))                                                                 \
  X("set up io_uring", 0, answer(syscall(SYS_io_uring_setup, 0, NULL)))                                                             \
  X("count with perf", 0, answer(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0)))                                                 \
  X("handle page faults", 0, answer(syscall(SYS_userfaultfd, -1)))                                                                  \
  X("use the kernel's keys", 0, answer(syscall(SYS_keyctl, -1, 0, 0, 0, 0)))                                                        \
  X("add a key to the kernel's", 0, answer(syscall(SYS_add_key, NULL, NULL, NULL, 0, 0)))                                           \
  X("open a file by its handle", 0, answer(syscall(SYS_open_by_handle_at, -1, NULL, 0)))                                            \
  X("load a kernel module", 0, answer(syscall(SYS_init_module, NULL, 0, "")))                                                       \
  X("load a kernel", 0, answer(syscall(SYS_kexec_load, 0, 0, NULL, -1)))                                                            \
  X("swap", 0, answer(syscall(SYS_swapon, "", 0)))                                                                                  \
  X("reboot", 0, answer(syscall(SYS_reboot, 0, 0, 0, NULL)))                                                                        \
  X("watch files", 0, answer(syscall(SYS_inotify_init1, -1)))                                                                       \
  X("share memory by a key", 0, answer(syscall(SYS_shmget, -1, 0, 0)))                                                              \
  X("set the clock", 0, answer(syscall(SYS_clock_settime, -1, NULL)))

#define LABEL(what, worker, attempt) what,
#define WORKER(what, worker, attempt) worker,
#define ATTEMPT(what, worker, attempt) \
  case PROBE_AT(__COUNTER__): return attempt;

static const char *const labels[] = {EVERY(LABEL)};
static const int of_worker_only[] = {EVERY(WORKER)};

enum { counter_base = __COUNTER__ + 1 };
#define PROBE_AT(counter) ((counter) - counter_base)

static int attempt(int number, const char *key) {
  switch (number) {
    EVERY(ATTEMPT)
  default: return EINVAL;
  }
}

int ceralacca_probe(int number, int is_worker, const char *key_file, const char **what, int *skipped) {
  if (number < 0 || (size_t)number >= sizeof labels / sizeof *labels) return -1;
  *what = labels[number];
  *skipped = of_worker_only[number] && !is_worker;
  return *skipped ? 0 : attempt(number, key_file);
}
