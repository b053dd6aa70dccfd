#define _GNU_SOURCE
#include "CPlatform.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

int ceralacca_packet_pair(int pair[2]) {
  return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0 ? 0 : -errno;
}

int ceralacca_is_packet_socket(int descriptor) {
  int domain = 0, type = 0;
  socklen_t length = sizeof domain;
  if (getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0) return -errno;
  length = sizeof type;
  if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) != 0) return -errno;
  if (domain != AF_UNIX || type != SOCK_SEQPACKET) return -EPROTOTYPE;
  return fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 ? 0 : -errno;
}

static int64_t now_milliseconds(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

// Waits until `descriptor` has one of `events`, or an error that the next call will tell; `until` is -1 for ever.
static int await(int descriptor, short events, int64_t until) {
  for (;;) {
    int64_t left = -1;
    if (until >= 0) {
      left = until - now_milliseconds();
      if (left < 0) left = 0;
      if (left > INT_MAX) left = INT_MAX;
    }
    struct pollfd one = {.fd = descriptor, .events = events};
    int ready = poll(&one, 1, (int)left);
    if (ready > 0) return one.revents & POLLNVAL ? -EBADF : 0;
    if (ready == 0) return -ETIMEDOUT;
    if (errno != EINTR) return -errno;
  }
}

static int64_t deadline(int timeout) { return timeout < 0 ? -1 : now_milliseconds() + timeout; }

int ceralacca_send_packet(int socket, const uint8_t *bytes, size_t count, int passing, int timeout) {
  struct iovec piece = {.iov_base = (void *)bytes, .iov_len = count};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  if (passing >= 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &passing, sizeof(int));
  }
  int64_t until = deadline(timeout);
  for (;;) {
    // There is room almost always: asked for only when there was none.
    if (sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return 0;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return -errno;
    int failure = await(socket, POLLOUT, until);
    if (failure) return failure;
  }
}

// Closes every descriptor that came with a packet but the first, which goes to `kept`. How many there were.
static int sort_descriptors(struct msghdr *message, int *kept) {
  int found = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t at = 0; at < count; at++) {
      int one;
      memcpy(&one, CMSG_DATA(header) + at * sizeof(int), sizeof one);
      if (found++ == 0) *kept = one;
      else close(one);
    }
  }
  return found;
}

ptrdiff_t ceralacca_receive_packet(int socket, uint8_t *out, size_t room, int timeout, int *passed) {
  if (passed) *passed = -1;
  int64_t until = deadline(timeout);
  for (;;) {
    int failure = await(socket, POLLIN, until);
    if (failure) return failure;
    struct iovec piece = {.iov_base = out, .iov_len = room};
    union {
      struct cmsghdr header;
      char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (passed) {
      message.msg_control = &control;
      // CMSG_SPACE would have room for a second descriptor in its padding.
      message.msg_controllen = CMSG_LEN(sizeof(int));
    }
    ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return errno == ECONNRESET ? 0 : -errno;
    }
    int kept = -1;
    int found = sort_descriptors(&message, &kept);
    int fault = message.msg_flags & MSG_TRUNC ? EMSGSIZE : message.msg_flags & MSG_CTRUNC || found > 1 ? EBADMSG : 0;
    if (fault || got == 0) {
      if (kept >= 0) close(kept);
      return -fault;
    }
    if (passed) *passed = kept;
    return got;
  }
}

int ceralacca_sealed_memory(const char *name, const struct iovec *pieces, int count) {
  int made = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  // Before Linux 6.3 there is no word against execution.
  if (made < 0 && errno == EINVAL) made = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (made < 0) return -errno;
  int failure = ceralacca_write_all(made, pieces, count, 0);
  if (!failure && fcntl(made, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) failure = -errno;
  if (!failure) return made;
  close(made);
  return failure;
}

int ceralacca_map_sealed(int descriptor, size_t bytes, const void **base) {
  struct stat about;
  if (fstat(descriptor, &about) != 0) return -errno;
  if (!S_ISREG(about.st_mode) || about.st_size < 0 || (uint64_t)about.st_size != bytes) return -EINVAL;
  // Without these seals the maker could shrink the file under its reader (SIGBUS), or change what was already looked at.
  int seals = fcntl(descriptor, F_GET_SEALS);
  if (seals < 0) return -errno;
  if ((seals & (F_SEAL_WRITE | F_SEAL_SHRINK)) != (F_SEAL_WRITE | F_SEAL_SHRINK)) return -EPERM;
  // Private: before Linux 6.7 a shared mapping of a file sealed against writing is refused, even one for reading.
  void *at = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, descriptor, 0);
  if (at == MAP_FAILED) return -errno;
  *base = at;
  return 0;
}

// The plan of a child's descriptors; `spare` are copies above all places that are to be filled, so that no step undoes another.
static int plan_descriptors(posix_spawn_file_actions_t *actions, const int *spare, int count, int keeps_output) {
  int failure = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
  if (!failure && !keeps_output) failure = posix_spawn_file_actions_adddup2(actions, 2, 1);
  for (int at = 0; at < count && !failure; at++) failure = posix_spawn_file_actions_adddup2(actions, spare[at], 3 + at);
  if (!failure) failure = posix_spawn_file_actions_addclosefrom_np(actions, 3 + count);
  return failure;
}

static int plan_signals(posix_spawnattr_t *attributes) {
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  int failure = posix_spawnattr_setsigdefault(attributes, &all);
  if (!failure) failure = posix_spawnattr_setsigmask(attributes, &none);
  if (!failure) failure = posix_spawnattr_setpgroup(attributes, 0);
  short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP;
  return failure ? failure : posix_spawnattr_setflags(attributes, flags);
}

int ceralacca_spawn(
    const char *path, char *const arguments[], char *const environment[], const int *descriptors, int count, int keeps_output,
    pid_t *pid, int *handle) {
  enum { most = 16 };
  int spare[most], copied = 0, failure = 0;
  if (count < 0 || count > most) return -EINVAL;
  for (; copied < count; copied++) {
    spare[copied] = fcntl(descriptors[copied], F_DUPFD_CLOEXEC, 3 + count);
    if (spare[copied] < 0) {
      failure = errno;
      break;
    }
  }
  if (!failure) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    failure = plan_descriptors(&actions, spare, count, keeps_output);
    if (!failure) failure = plan_signals(&attributes);
    if (!failure) failure = posix_spawn(pid, path, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
  }
  for (int at = 0; at < copied; at++) close(spare[at]);
  if (failure) return -failure;
  // The child is not waited for yet, so its number is still its own.
  *handle = pidfd_open(*pid, 0);
  if (*handle >= 0) return 0;
  failure = errno;
  kill(*pid, SIGKILL);
  while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR) {}
  return -failure;
}

int ceralacca_await_child(int handle, int timeout) {
  int failure = await(handle, POLLIN, deadline(timeout));
  return failure == 0 ? 1 : failure == -ETIMEDOUT ? 0 : failure;
}

int ceralacca_take_child(int handle, int *status) {
  siginfo_t about = {0};
  while (waitid(P_PIDFD, (id_t)handle, &about, WEXITED | WNOHANG) != 0)
    if (errno != EINTR) return -errno;
  if (about.si_pid == 0) return 0;
  // The form that waitpid(2) gives: the exit code in the second octet, or the signal in the lowest seven bits.
  *status = about.si_code == CLD_EXITED ? (about.si_status & 0xff) << 8 : about.si_status & 0x7f;
  return 1;
}

int ceralacca_signal_child(int handle, int signal) { return pidfd_send_signal(handle, signal, NULL, 0) == 0 ? 0 : -errno; }

size_t ceralacca_status_words(int status, char *out, size_t room) {
  int length;
  if (WIFEXITED(status)) {
    length = snprintf(out, room, "exit code %d", WEXITSTATUS(status));
  } else {
    const char *name = sigdescr_np(WTERMSIG(status));
    length = snprintf(out, room, "killed by signal %d (%s)", WTERMSIG(status), name ? name : "unknown");
  }
  return length < 0 ? 0 : (size_t)length < room ? (size_t)length : room - 1;
}
