// libmicrohttpd, and static inline wrappers for what is variadic.
#pragma once
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

/// A socket that listens on an address in numbers; -1, and the reason in `words`.
static inline int ceralacca_http_listen(const char *address, uint16_t port, char *words, size_t room) {
  char service[8];
  struct addrinfo wanted = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found = NULL;
  snprintf(service, sizeof service, "%u", (unsigned)port);
  int code = getaddrinfo(address, service, &wanted, &found);
  if (code) {
    snprintf(words, room, "%s", gai_strerror(code));
    return -1;
  }
  int on = 1, handle = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  // SO_REUSEPORT, as all our listeners have it: a process that takes over listens before the other one ends.
  if (handle >= 0 &&
      (setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) || setsockopt(handle, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) ||
       bind(handle, found->ai_addr, found->ai_addrlen) || listen(handle, 64))) {
    int failure = errno;
    close(handle);
    errno = failure;
    handle = -1;
  }
  if (handle < 0) snprintf(words, room, "%s", strerror(errno));
  freeaddrinfo(found);
  return handle;
}

/// The port that a socket listens on; 0 when the system does not say.
static inline uint16_t ceralacca_http_port(int handle) {
  struct sockaddr_storage place;
  socklen_t length = sizeof place;
  if (getsockname(handle, (struct sockaddr *)&place, &length)) return 0;
  if (place.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&place)->sin_port);
  return ntohs(((struct sockaddr_in6 *)&place)->sin6_port);
}

/// A server on a listening socket, which it takes over, with one thread of its own for all connections; `from_one` bounds those of one
/// address, 0: they are not bounded. NULL when it cannot start.
static inline struct MHD_Daemon *ceralacca_http_start(int handle, MHD_AccessHandlerCallback answer, void *context, unsigned connections,
                                                      unsigned from_one, unsigned timeout_seconds, size_t memory) {
  return MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, answer, context, MHD_OPTION_LISTEN_SOCKET, handle,
                          MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT, from_one,
                          MHD_OPTION_CONNECTION_TIMEOUT, timeout_seconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory, MHD_OPTION_END);
}

/// What a callback returns: go on, or close the connection.
static inline enum MHD_Result ceralacca_http_outcome(int goes_on) { return goes_on ? MHD_YES : MHD_NO; }

/// A field of the request's header; NULL when it is not there. It is the connection's.
static inline const char *ceralacca_http_field(struct MHD_Connection *connection, const char *name) {
  return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/// An answer with a copy of these octets; the caller's to destroy. NULL without memory.
static inline struct MHD_Response *ceralacca_http_response(const void *octets, size_t count) {
  return MHD_create_response_from_buffer(count, (void *)octets, MHD_RESPMEM_MUST_COPY);
}
