// libuv and static inline wrappers for what Swift cannot import (macros, variadics, casts, socket addresses).
// Each returns 0 or a count; on failure libuv's negative code, which is the negative errno on this system.
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

/// A write to a peer that has gone is an error of that write, not the end of the process.
static inline void ceralacca_uv_ignore_sigpipe(void) { signal(SIGPIPE, SIG_IGN); }

/// The text of an IP address, IPv4 in IPv6 (::ffff:a.b.c.d) as plain IPv4; `text` has room for 46 octets. Fills in the port.
static inline int ceralacca_uv_address_text(const struct sockaddr_storage *address, char *text, size_t room, int *port) {
  if (address->ss_family == AF_INET) {
    const struct sockaddr_in *four = (const struct sockaddr_in *)address;
    *port = ntohs(four->sin_port);
    return inet_ntop(AF_INET, &four->sin_addr, text, (socklen_t)room) ? 0 : UV_ENOSPC;
  }
  if (address->ss_family == AF_INET6) {
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
    *port = ntohs(six->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
      return inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, text, (socklen_t)room) ? 0 : UV_ENOSPC;
    return inet_ntop(AF_INET6, &six->sin6_addr, text, (socklen_t)room) ? 0 : UV_ENOSPC;
  }
  return UV_EAFNOSUPPORT;
}

/// Where a TCP handle's peer sits.
static inline int ceralacca_uv_peer(const void *tcp, char *text, size_t room, int *port) {
  struct sockaddr_storage address;
  int length = sizeof address;
  int failure = uv_tcp_getpeername((const uv_tcp_t *)tcp, (struct sockaddr *)&address, &length);
  return failure ? failure : ceralacca_uv_address_text(&address, text, room, port);
}

/// Where a TCP handle sits itself.
static inline int ceralacca_uv_local(const void *tcp, char *text, size_t room, int *port) {
  struct sockaddr_storage address;
  int length = sizeof address;
  int failure = uv_tcp_getsockname((const uv_tcp_t *)tcp, (struct sockaddr *)&address, &length);
  return failure ? failure : ceralacca_uv_address_text(&address, text, room, port);
}

/// Puts `port` (host order) into an address.
static inline void ceralacca_uv_set_port(struct sockaddr_storage *address, int port) {
  if (address->ss_family == AF_INET) ((struct sockaddr_in *)address)->sin_port = htons((uint16_t)port);
  if (address->ss_family == AF_INET6) ((struct sockaddr_in6 *)address)->sin6_port = htons((uint16_t)port);
}

/// A socket address from a numeric IPv4 or IPv6 address; UV_EINVAL when the text is neither.
static inline int ceralacca_uv_numeric_address(const char *text, int port, struct sockaddr_storage *address) {
  memset(address, 0, sizeof *address);
  if (uv_ip4_addr(text, port, (struct sockaddr_in *)address) == 0) return 0;
  memset(address, 0, sizeof *address);
  return uv_ip6_addr(text, port, (struct sockaddr_in6 *)address);
}

/// Copies the next IPv4 or IPv6 address of a resolver's list and moves on; 0 at its end.
static inline int ceralacca_uv_next_address(const struct addrinfo **list, struct sockaddr_storage *address) {
  for (; *list; *list = (*list)->ai_next) {
    const struct addrinfo *here = *list;
    if (here->ai_family != AF_INET && here->ai_family != AF_INET6) continue;
    if (here->ai_addrlen > sizeof *address) continue;
    memset(address, 0, sizeof *address);
    memcpy(address, here->ai_addr, here->ai_addrlen);
    *list = here->ai_next;
    return 1;
  }
  return 0;
}

/// A TCP socket bound to `address`; SO_REUSEPORT is set before the bind when asked. The handle takes the descriptor.
static inline int ceralacca_uv_bind(uv_tcp_t *tcp, const struct sockaddr_storage *address, int reuse_port) {
  uv_os_fd_t descriptor;
  int failure = uv_fileno((const uv_handle_t *)tcp, &descriptor);
  if (failure) return failure;
  int on = 1;
  if (reuse_port && setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) return -errno;
  return uv_tcp_bind(tcp, (const struct sockaddr *)address, 0);
}

/// Whether somebody answers on the local socket `address`: 1 when so, 0 when the file is a leftover, or the negative errno.
static inline int ceralacca_uv_local_answers(const struct sockaddr_un *address) {
  int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return -errno;
  int verdict = 1;
  if (connect(probe, (const struct sockaddr *)address, sizeof *address) != 0)
    verdict = errno == EAGAIN ? 1 : errno == ECONNREFUSED ? 0 : -errno;
  close(probe);
  return verdict;
}

/// A Unix domain socket bound to `path` with the permissions `mode` from its first moment. A leftover socket file that nobody
/// answers on is replaced; a file that is no socket, and a socket that answers, are UV_EADDRINUSE. The descriptor, or negative.
static inline int ceralacca_uv_local_socket(const char *path, unsigned mode) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address.sun_path) return UV_ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (made < 0) return -errno;
  // On Linux the file takes the socket's own mode less the umask, so nobody gets in between bind and chmod.
  int failure = fchmod(made, (mode_t)mode) == 0 ? 0 : -errno;
  if (!failure && bind(made, (const struct sockaddr *)&address, sizeof address) != 0) {
    struct stat there;
    failure = -errno;
    if (failure == -EADDRINUSE && lstat(path, &there) == 0 && S_ISSOCK(there.st_mode) && ceralacca_uv_local_answers(&address) == 0
        && unlink(path) == 0)
      failure = bind(made, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : -errno;
  }
  if (!failure && chmod(path, (mode_t)mode) != 0) failure = -errno;
  if (!failure) return made;
  close(made);
  return failure;
}

/// The inode of a socket file, so that only our own is removed at the end; 0 when there is none.
static inline uint64_t ceralacca_uv_inode(const char *path) {
  struct stat there;
  return lstat(path, &there) == 0 && S_ISSOCK(there.st_mode) ? (uint64_t)there.st_ino : 0;
}

/// A second descriptor of the same socket, closed on exec.
static inline int ceralacca_uv_duplicate(int descriptor) {
  int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
  return copy < 0 ? -errno : copy;
}

/// The descriptor behind a handle, or the negative code.
static inline int ceralacca_uv_descriptor(const void *handle) {
  uv_os_fd_t descriptor;
  int failure = uv_fileno((const uv_handle_t *)handle, &descriptor);
  return failure ? failure : descriptor;
}

/// The user at the other end of a local socket, as the kernel noted him when he connected. 0, or the negative code.
static inline int ceralacca_uv_peer_user(const void *pipe, uint32_t *user) {
  int descriptor = ceralacca_uv_descriptor(pipe);
  if (descriptor < 0) return descriptor;
  // struct ucred, which wants _GNU_SOURCE.
  struct { pid_t process; uid_t user; gid_t group; } peer;
  socklen_t length = sizeof peer;
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return -errno;
  if (length != sizeof peer || peer.user == (uid_t)-1) return -EINVAL;
  *user = peer.user;
  return 0;
}

/// The name of a user of this system, ended by 0; the length written, or 0 when he has none.
static inline int ceralacca_uv_user_name(uint32_t user, char *name, size_t room) {
  struct passwd found, *one = NULL;
  char fields[16384];
  if (getpwuid_r((uid_t)user, &found, fields, sizeof fields, &one) != 0 || !one) return 0;
  size_t length = strlen(one->pw_name);
  if (length >= room) return 0;
  memcpy(name, one->pw_name, length + 1);
  return (int)length;
}

/// A TCP socket that is bound to `address` and listens, closed on exec. The descriptor, or the negative errno.
static inline int ceralacca_uv_listening_socket(const struct sockaddr_storage *address, int reuse_port, int backlog) {
  int made = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (made < 0) return -errno;
  int on = 1, off = 0;
  socklen_t length = address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
  int failure = setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0;
  if (!failure && reuse_port) failure = setsockopt(made, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0;
  if (!failure && address->ss_family == AF_INET6) failure = setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0;
  if (!failure) failure = bind(made, (const struct sockaddr *)address, length) != 0 || listen(made, backlog) != 0;
  if (!failure) return made;
  int code = -errno;
  close(made);
  return code;
}

/// Looks whether `descriptor` is a TCP socket that listens, makes it closed on exec and non-blocking, and says where it listens. 0, or the
/// negative errno.
static inline int ceralacca_uv_adopt_listening(int descriptor, char *text, size_t room, int *port) {
  int listens = 0, type = 0;
  socklen_t length = sizeof listens;
  if (getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) != 0) return -errno;
  length = sizeof type;
  if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) != 0) return -errno;
  if (!listens || type != SOCK_STREAM) return -EPROTOTYPE;
  struct sockaddr_storage address;
  length = sizeof address;
  if (getsockname(descriptor, (struct sockaddr *)&address, &length) != 0) return -errno;
  int failure = ceralacca_uv_address_text(&address, text, room, port);
  if (failure) return failure;
  int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) return -errno;
  return 0;
}
