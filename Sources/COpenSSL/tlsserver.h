// What the server's side of the TLSPipe room needs of OpenSSL and Swift cannot import: the choice of a certificate by the name that a
// client asks for, and the keys of session tickets.
#pragma once
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/// Keys of session tickets (RFC 5077 §4): one that seals, and the one before it, which only opens.
typedef struct {
  pthread_mutex_t lock;
  struct ceralacca_ticket_key {
    unsigned char name[16], cipher[32], mac[32];
  } keys[2];
  /// Seconds of the monotonic clock at which the first was made; those after which it is replaced.
  int64_t made, lifetime;
  /// How many of the two hold.
  int count;
} ceralacca_tickets;

/// Makes keys that are replaced after `lifetime` seconds; NULL without memory or random octets. Freed by `ceralacca_tickets_free`.
static inline ceralacca_tickets *ceralacca_tickets_new(int64_t lifetime) {
  ceralacca_tickets *tickets = OPENSSL_zalloc(sizeof *tickets);
  if (!tickets) return NULL;
  pthread_mutex_init(&tickets->lock, NULL);
  tickets->lifetime = lifetime;
  return tickets;
}

static inline void ceralacca_tickets_free(ceralacca_tickets *tickets) {
  if (!tickets) return;
  pthread_mutex_destroy(&tickets->lock);
  OPENSSL_clear_free(tickets, sizeof *tickets);
}

/// Replaces what is too old, and what was not used for so long that the old one is too. 1, or 0 without random octets.
static inline int ceralacca_tickets_turn(ceralacca_tickets *tickets, int64_t now) {
  if (tickets->count && now - tickets->made < tickets->lifetime) return 1;
  struct ceralacca_ticket_key fresh;
  if (RAND_bytes(fresh.name, sizeof fresh.name) != 1 || RAND_priv_bytes(fresh.cipher, sizeof fresh.cipher) != 1
      || RAND_priv_bytes(fresh.mac, sizeof fresh.mac) != 1)
    return 0;
  int keeps = tickets->count && now - tickets->made < 2 * tickets->lifetime;
  if (keeps) tickets->keys[1] = tickets->keys[0];
  tickets->keys[0] = fresh;
  tickets->made = now;
  tickets->count = keeps ? 2 : 1;
  OPENSSL_cleanse(&fresh, sizeof fresh);
  return 1;
}

/// OpenSSL seals or opens a ticket (SSL_CTX_set_tlsext_ticket_key_evp_cb): 0 for a ticket that nobody here made, 2 for one that is to be
/// replaced.
static inline int ceralacca_tickets_use(
    SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing) {
  ceralacca_tickets *tickets = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
  struct timespec at;
  struct ceralacca_ticket_key key;
  int which = -1;
  if (!tickets || clock_gettime(CLOCK_MONOTONIC, &at) != 0) return -1;
  pthread_mutex_lock(&tickets->lock);
  if (ceralacca_tickets_turn(tickets, (int64_t)at.tv_sec)) {
    for (int try = 0; try < (sealing ? 1 : tickets->count) && which < 0; try++)
      if (sealing || CRYPTO_memcmp(tickets->keys[try].name, name, sizeof key.name) == 0) which = try;
    if (which >= 0) key = tickets->keys[which];
  }
  pthread_mutex_unlock(&tickets->lock);
  if (which < 0) return sealing ? -1 : 0;
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac, sizeof key.mac),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0), OSSL_PARAM_construct_end()};
  int done = EVP_MAC_CTX_set_params(mac, parameters);
  if (done && sealing) {
    memcpy(name, key.name, sizeof key.name);
    done = RAND_bytes(iv, 16) == 1 && EVP_EncryptInit_ex2(cipher, EVP_aes_256_cbc(), key.cipher, iv, NULL);
  } else if (done) {
    done = EVP_DecryptInit_ex2(cipher, EVP_aes_256_cbc(), key.cipher, iv, NULL);
  }
  OPENSSL_cleanse(&key, sizeof key);
  return done ? (which == 0 ? 1 : 2) : -1;
}

/// What a server's context has beyond `ceralacca_tls_prepare`: its own order of ciphers, curves only, tickets with keys of ours, no early
/// data. `tickets` outlives the context. 1, or 0 with the reason in the error queue.
static inline int ceralacca_tls_prepare_server(SSL_CTX *context, const char *groups, ceralacca_tickets *tickets) {
  SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_max_early_data(context, 0);
  SSL_CTX_set_recv_max_early_data(context, 0);
  SSL_CTX_set_app_data(context, tickets);
  return SSL_CTX_set1_groups_list(context, groups) && SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ceralacca_tickets_use);
}

/// Has `choose` called with `argument` when a client has said which server it wants (RFC 6066 §3).
static inline void ceralacca_tls_on_name(SSL_CTX *context, int (*choose)(SSL *, int *, void *), void *argument) {
  SSL_CTX_set_tlsext_servername_callback(context, choose);
  SSL_CTX_set_tlsext_servername_arg(context, argument);
}

/// The host name that the client asks for, or NULL. Borrowed from the connection.
static inline const char *ceralacca_tls_asked_name(const SSL *ssl) { return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name); }

/// The DNS name at `at` of a list of names, or NULL when that entry is something else. Borrowed.
static inline const ASN1_STRING *ceralacca_names_dns(const GENERAL_NAMES *names, int at) {
  const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, at);
  return name && name->type == GEN_DNS ? name->d.dNSName : NULL;
}

/// Kind of the public key of a certificate, as OpenSSL's number: a context has one certificate of each.
static inline int ceralacca_certificate_key_kind(X509 *certificate) {
  EVP_PKEY *key = X509_get0_pubkey(certificate);
  return key ? EVP_PKEY_get_base_id(key) : 0;
}

/// Unix seconds of the certificate's beginning and end. 1, or 0 when it has no such times.
static inline int ceralacca_certificate_dates(const X509 *certificate, int64_t *begin, int64_t *end) {
  struct tm from, to;
  memset(&from, 0, sizeof from);
  memset(&to, 0, sizeof to);
  if (ASN1_TIME_to_tm(X509_get0_notBefore(certificate), &from) != 1 || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &to) != 1)
    return 0;
  *begin = (int64_t)timegm(&from);
  *end = (int64_t)timegm(&to);
  return 1;
}
