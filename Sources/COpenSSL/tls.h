// What the TLSPipe room needs of OpenSSL and Swift cannot import: macros over SSL_ctrl, BIO flags, the error queue, names.
#pragma once
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/// OpenSSL must never ask at a terminal for a key's passphrase: an encrypted key is an error.
static inline int ceralacca_tls_no_passphrase(char *buffer, int size, int writing, void *user) {
  (void)buffer, (void)size, (void)writing, (void)user;
  return -1;
}

/// What every context of ours has, client or server. 1, or 0 with the reason in the error queue.
static inline int ceralacca_tls_prepare(SSL_CTX *context, const char *ciphers) {
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_security_level(context, 2);
  SSL_CTX_set_default_passwd_cb(context, ceralacca_tls_no_passphrase);
  return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) && SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION)
      && SSL_CTX_set_cipher_list(context, ciphers);
}

/// Name of the server for SNI. 1, or 0.
static inline int ceralacca_tls_server_name(SSL *ssl, const char *name) { return (int)SSL_set_tlsext_host_name(ssl, name); }

/// Demands that the peer's certificate is made out to `name` (a host name, or a numeric address when `numeric`). Names in its subject
/// do not count, only its alternative names (RFC 8461 4.1, RFC 9525 2). 1, or 0.
static inline int ceralacca_tls_expect(SSL *ssl, const char *name, int numeric) {
  X509_VERIFY_PARAM *rules = SSL_get0_param(ssl);
  if (numeric) return X509_VERIFY_PARAM_set1_ip_asc(rules, name);
  X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return X509_VERIFY_PARAM_set1_host(rules, name, 0);
}

/// 1 when `name` is a numeric IPv4 or IPv6 address.
static inline int ceralacca_tls_is_address(const char *name) {
  ASN1_OCTET_STRING *octets = a2i_IPADDRESS(name);
  ASN1_OCTET_STRING_free(octets);
  ERR_clear_error();
  return octets != NULL;
}

/// Makes a context ready for DANE. 1, or 0.
static inline int ceralacca_tls_enable_dane(SSL_CTX *context) { return SSL_CTX_dane_enable(context) > 0; }

/// Lets TLSA records and not authorities judge the peer (RFC 6698); `base` is the name that they stand under, sent as SNI. A server's own
/// certificate counts whatever its names (RFC 7672 3.1.1). 1, or 0.
static inline int ceralacca_tls_begin_dane(SSL *ssl, const char *base) {
  if (SSL_dane_enable(ssl, base) <= 0) return 0;
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
  return 1;
}

/// Adds a TLSA record. 1; 0 when it cannot be used; -1 when OpenSSL fails.
static inline int ceralacca_tls_add_association(SSL *ssl, uint8_t usage, uint8_t selector, uint8_t matching, const uint8_t *data,
                                                size_t count) {
  int added = SSL_dane_tlsa_add(ssl, usage, selector, matching, data, count);
  ERR_clear_error();
  return added;
}

/// A read or write of the BIO must be tried again later: nothing has arrived.
static inline void ceralacca_tls_retry_read(BIO *bio) {
  BIO_clear_retry_flags(bio);
  BIO_set_retry_read(bio);
}
static inline void ceralacca_tls_no_retry(BIO *bio) { BIO_clear_retry_flags(bio); }

/// Takes the oldest error out of this thread's queue and drops the rest. Reason code and words; 0 when there was none.
static inline int ceralacca_tls_take_error(char *text, size_t room, int *library) {
  const char *data = NULL;
  int flags = 0;
  unsigned long code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags);
  *library = 0;
  text[0] = 0;
  if (code == 0) return 0;
  *library = ERR_GET_LIB(code);
  const char *reason = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
  const char *more = (flags & ERR_TXT_STRING) && data && data[0] ? data : NULL;
  if (reason)
    BIO_snprintf(text, room, "%s%s%s", reason, more ? ": " : "", more ? more : "");
  else
    BIO_snprintf(text, room, "error %lx", code);
  int result = ERR_GET_REASON(code);
  ERR_clear_error();
  return result;
}

/// Unix seconds of the end of the context's own certificate, or -1.
static inline int64_t ceralacca_tls_not_after(SSL_CTX *context) {
  X509 *certificate = SSL_CTX_get0_certificate(context);
  struct tm parts;
  if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) return -1;
  return (int64_t)timegm(&parts);
}
