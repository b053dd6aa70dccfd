// libldap and static inline wrappers: its options take untyped pointers to values of many types.
// Each wrapper returns libldap's own code, LDAP_SUCCESS (0) when all is well.
#pragma once
#include <lber.h>
#include <errno.h>
#include <fcntl.h>
#include <ldap.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/// A write to a peer that has gone is an error of that write, not the end of the process.
static inline void ceralacca_ldap_ignore_sigpipe(void) { signal(SIGPIPE, SIG_IGN); }

/// Sets what has to hold for every connection, against whatever /etc/ldap/ldap.conf, ~/.ldaprc and the environment say: protocol 3,
/// no referrals followed, aliases left alone, no canonical names asked of the DNS, and times that end.
static inline int ceralacca_ldap_prepare(LDAP *handle, long seconds) {
  int version = LDAP_VERSION3, never = LDAP_DEREF_NEVER, none = LDAP_NO_LIMIT;
  struct timeval time = {.tv_sec = seconds};
  int code = ldap_set_option(handle, LDAP_OPT_PROTOCOL_VERSION, &version);
  if (!code) code = ldap_set_option(handle, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
  if (!code) code = ldap_set_option(handle, LDAP_OPT_DEREF, &never);
  if (!code) code = ldap_set_option(handle, LDAP_OPT_SIZELIMIT, &none);
  if (!code) code = ldap_set_option(handle, LDAP_OPT_TIMELIMIT, &none);
  if (!code) code = ldap_set_option(handle, LDAP_OPT_RESTART, LDAP_OPT_ON);
  if (!code) code = ldap_set_option(handle, LDAP_OPT_NETWORK_TIMEOUT, &time);
  if (!code) code = ldap_set_option(handle, LDAP_OPT_TIMEOUT, &time);
  return code;
}

/// Refuses messages of the server longer than `octets`. Only once the connection is there: before, it has no buffer to set this on.
static inline int ceralacca_ldap_limit(LDAP *handle, size_t octets) {
  Sockbuf *buffer = NULL;
  ber_len_t length = octets;
  int code = ldap_get_option(handle, LDAP_OPT_SOCKBUF, &buffer);
  if (code || !buffer) return LDAP_OTHER;
  return ber_sockbuf_ctrl(buffer, LBER_SB_OPT_SET_MAX_INCOMING, &length) == 1 ? LDAP_SUCCESS : LDAP_OTHER;
}

/// Demands a certificate that holds and names the server. With `authorities`, only theirs; the texts may be NULL, and are copied.
static inline int ceralacca_ldap_tls(LDAP *handle, const char *authorities, const char *certificate, const char *key) {
  int demand = LDAP_OPT_X_TLS_DEMAND, oldest = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2, client = 0;
  int code = ldap_set_option(handle, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
  if (!code) code = ldap_set_option(handle, LDAP_OPT_X_TLS_PROTOCOL_MIN, &oldest);
  if (!code && authorities) code = ldap_set_option(handle, LDAP_OPT_X_TLS_CACERTDIR, NULL);
  if (!code && authorities) code = ldap_set_option(handle, LDAP_OPT_X_TLS_CACERTFILE, authorities);
  if (!code && certificate) code = ldap_set_option(handle, LDAP_OPT_X_TLS_CERTFILE, certificate);
  if (!code && key) code = ldap_set_option(handle, LDAP_OPT_X_TLS_KEYFILE, key);
  // The options above take effect in a context of their own.
  if (!code) code = ldap_set_option(handle, LDAP_OPT_X_TLS_NEWCTX, &client);
  return code;
}

/// True when the connection is under TLS 1.2 or newer: GnuTLS takes no heed of the option above. Written `TLS1.3` by GnuTLS, `TLSv1.3`
/// by OpenSSL.
static inline int ceralacca_ldap_is_modern_tls(LDAP *handle) {
  char *version = NULL;
  if (ldap_get_option(handle, LDAP_OPT_X_TLS_VERSION, &version) != LDAP_OPT_SUCCESS || !version) return 0;
  const char *number = strchr(version, '1');
  int modern = number && (strcmp(number, "1.2") == 0 || strcmp(number, "1.3") == 0);
  ldap_memfree(version);
  return modern;
}

/// What libldap has to say on the last failure beside its code; to be freed with ldap_memfree, or NULL.
static inline char *ceralacca_ldap_words(LDAP *handle) {
  char *words = NULL;
  if (ldap_get_option(handle, LDAP_OPT_DIAGNOSTIC_MESSAGE, &words) != LDAP_OPT_SUCCESS) return NULL;
  return words;
}

/// The code of the last failure.
static inline int ceralacca_ldap_code(LDAP *handle) {
  int code = LDAP_OTHER;
  return ldap_get_option(handle, LDAP_OPT_RESULT_CODE, &code) == LDAP_OPT_SUCCESS && code != LDAP_SUCCESS ? code : LDAP_OTHER;
}

/// A simple bind (RFC 4513 §5.1.3).
static inline int ceralacca_ldap_bind(LDAP *handle, const char *name, const char *password) {
  struct berval credentials = {.bv_len = strlen(password), .bv_val = (char *)password};
  return ldap_sasl_bind_s(handle, name, LDAP_SASL_SIMPLE, &credentials, NULL, NULL, NULL);
}

/// Asks for a page of the tree under `base`: all user attributes. `cookie` is the last page's, empty at first; the control is not
/// critical, so that a server without paging sends everything at once (RFC 2696 §3).
static inline int ceralacca_ldap_search(LDAP *handle, const char *base, int page, struct berval *cookie, int *message) {
  char all[] = LDAP_ALL_USER_ATTRIBUTES;
  char *attributes[] = {all, NULL};
  LDAPControl *control = NULL;
  int code = ldap_create_page_control(handle, page, cookie->bv_len ? cookie : NULL, 0, &control);
  if (code) return code;
  LDAPControl *controls[] = {control, NULL};
  code = ldap_search_ext(
      handle, base, LDAP_SCOPE_SUBTREE, "(objectClass=*)", attributes, 0, controls, NULL, NULL, LDAP_NO_LIMIT, message);
  ldap_control_free(control);
  return code;
}

/// The next message of a search: its type, 0 when the time is over, negative on failure. `*result` is freed with ldap_msgfree.
static inline int ceralacca_ldap_next(LDAP *handle, int message, long milliseconds, LDAPMessage **result) {
  struct timeval time = {.tv_sec = milliseconds / 1000, .tv_usec = (milliseconds % 1000) * 1000};
  *result = NULL;
  return ldap_result(handle, message, LDAP_MSG_ONE, &time, result);
}

/// Reads the end of a page and frees `result`: the server's code in `*answer`, and the cookie of the next page in `*cookie` (its octets
/// freed with ber_memfree), empty after the last.
static inline int ceralacca_ldap_page_end(LDAP *handle, LDAPMessage *result, int *answer, struct berval *cookie) {
  LDAPControl **controls = NULL;
  cookie->bv_len = 0;
  cookie->bv_val = NULL;
  int code = ldap_parse_result(handle, result, answer, NULL, NULL, NULL, &controls, 1);
  if (code || !controls) return code;
  LDAPControl *control = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL);
  if (control) {
    ber_int_t estimate = 0;
    code = ldap_parse_pageresponse_control(handle, control, &estimate, cookie);
  }
  ldap_controls_free(controls);
  return code;
}

/// Ends a connection when its time is over: libldap's own times leave out the handshake of TLS, in which a silent server would hold the
/// caller for ever (and with GnuTLS, in a loop without a pause). Made by `_start`, freed by `_stop`, which must come after the unbind.
typedef struct ceralacca_ldap_watch {
  struct ldap_conncb callbacks;
  pthread_mutex_t lock;
  pthread_cond_t change;
  pthread_t thread;
  struct timespec deadline;
  int descriptor;  // the connection's socket, a descriptor of our own, or -1
  int is_done, is_over;
} ceralacca_ldap_watch;

/// The socket is connected: the watch gets a descriptor of it, and what follows blocks until an answer comes or the watch ends it.
static inline int ceralacca_ldap_watch_add(
    LDAP *handle, Sockbuf *buffer, LDAPURLDesc *server, struct sockaddr *address, struct ldap_conncb *callbacks) {
  ceralacca_ldap_watch *watch = (ceralacca_ldap_watch *)callbacks->lc_arg;
  struct timeval endless = {.tv_sec = -1};
  ber_socket_t socket = -1;
  (void)server;
  (void)address;
  if (ber_sockbuf_ctrl(buffer, LBER_SB_OPT_GET_FD, &socket) != 1) return -1;
  int copy = fcntl(socket, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return -1;
  pthread_mutex_lock(&watch->lock);
  if (watch->descriptor >= 0) close(watch->descriptor);
  watch->descriptor = copy;
  int is_over = watch->is_over;
  pthread_mutex_unlock(&watch->lock);
  return is_over ? -1 : ldap_set_option(handle, LDAP_OPT_NETWORK_TIMEOUT, &endless);
}

static inline void ceralacca_ldap_watch_remove(LDAP *handle, Sockbuf *buffer, struct ldap_conncb *callbacks) {
  (void)handle;
  (void)buffer;
  (void)callbacks;
}

static inline void *ceralacca_ldap_watch_run(void *context) {
  ceralacca_ldap_watch *watch = (ceralacca_ldap_watch *)context;
  pthread_mutex_lock(&watch->lock);
  while (!watch->is_done && pthread_cond_timedwait(&watch->change, &watch->lock, &watch->deadline) != ETIMEDOUT) {
  }
  if (!watch->is_done) {
    watch->is_over = 1;
    if (watch->descriptor >= 0) shutdown(watch->descriptor, SHUT_RDWR);
  }
  pthread_mutex_unlock(&watch->lock);
  return NULL;
}

/// Watches over a handle from now on; NULL when there are no means to.
static inline ceralacca_ldap_watch *ceralacca_ldap_watch_start(LDAP *handle, long seconds) {
  ceralacca_ldap_watch *watch = (ceralacca_ldap_watch *)calloc(1, sizeof *watch);
  if (!watch) return NULL;
  pthread_condattr_t steady;
  sigset_t all, before;
  watch->callbacks.lc_add = ceralacca_ldap_watch_add;
  watch->callbacks.lc_del = ceralacca_ldap_watch_remove;
  watch->callbacks.lc_arg = watch;
  watch->descriptor = -1;
  clock_gettime(CLOCK_MONOTONIC, &watch->deadline);
  watch->deadline.tv_sec += seconds;
  pthread_mutex_init(&watch->lock, NULL);
  pthread_condattr_init(&steady);
  pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
  pthread_cond_init(&watch->change, &steady);
  pthread_condattr_destroy(&steady);
  int failure = ldap_set_option(handle, LDAP_OPT_CONNECT_CB, &watch->callbacks) != LDAP_OPT_SUCCESS;
  if (!failure) {
    // Signals of the process are for other threads.
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failure = pthread_create(&watch->thread, NULL, ceralacca_ldap_watch_run, watch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  if (!failure) return watch;
  // The handle keeps the callbacks until its end, which follows at once: no connection is made with them.
  pthread_cond_destroy(&watch->change);
  pthread_mutex_destroy(&watch->lock);
  free(watch);
  return NULL;
}

/// True when the time was over and the connection was ended.
static inline int ceralacca_ldap_watch_is_over(ceralacca_ldap_watch *watch) {
  pthread_mutex_lock(&watch->lock);
  int is_over = watch->is_over;
  pthread_mutex_unlock(&watch->lock);
  return is_over;
}

/// Ends the watch and frees it; the handle is gone by then.
static inline void ceralacca_ldap_watch_stop(ceralacca_ldap_watch *watch) {
  pthread_mutex_lock(&watch->lock);
  watch->is_done = 1;
  pthread_cond_signal(&watch->change);
  pthread_mutex_unlock(&watch->lock);
  pthread_join(watch->thread, NULL);
  if (watch->descriptor >= 0) close(watch->descriptor);
  pthread_cond_destroy(&watch->change);
  pthread_mutex_destroy(&watch->lock);
  free(watch);
}
